// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

// What Swift cannot do: run code in a cloned child before exec. After the clone nothing here allocates or takes locks.

#define _GNU_SOURCE
#include "isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum stage {
    STAGE_ROOT = 1,
    STAGE_PIVOT,
    STAGE_FILE,
    STAGE_VOLUME,
    STAGE_PROCESS,
    STAGE_USER,
    STAGE_DIRECTORY,
    STAGE_EXECUTE,
};

const char *isolation_stage_name(int32_t stage) {
    switch (stage) {
    case STAGE_ROOT: return "mounting the image";
    case STAGE_PIVOT: return "changing the root";
    case STAGE_FILE: return "writing a file of the config";
    case STAGE_VOLUME: return "mounting a volume";
    case STAGE_PROCESS: return "starting a process";
    case STAGE_USER: return "changing the user";
    case STAGE_DIRECTORY: return "entering the working directory";
    case STAGE_EXECUTE: return "executing the entrypoint";
    default: return "starting";
    }
}

int isolation_status_exit_code(int32_t status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int isolation_status_signal(int32_t status) {
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int isolation_close_from(unsigned first) {
    return syscall(SYS_close_range, first, ~0U, 0) == 0 ? 0 : errno;
}

int isolation_accept(int listener) {
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int isolation_pipe(int ends[2]) {
    return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
}

int isolation_loopback_up(void) {
    int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0) return errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "lo");
    int result = 0;
    if (ioctl(handle, SIOCGIFFLAGS, &request) != 0) {
        result = errno;
    } else {
        request.ifr_flags |= IFF_UP | IFF_RUNNING;
        if (ioctl(handle, SIOCSIFFLAGS, &request) != 0) result = errno;
    }
    close(handle);
    return result;
}

static void tell(int report, int32_t kind, int32_t stage, int32_t value) {
    struct isolation_report message = {kind, stage, value};
    while (write(report, &message, sizeof message) < 0 && errno == EINTR) {}
}

/// Makes every folder on the way to `path`, itself included where `whole`. Runs inside the guest's root, so no link
/// of the image can lead out of it.
static int make_folders(const char *path, int whole) {
    char copy[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof copy) return ENAMETOOLONG;
    memcpy(copy, path, length + 1);
    for (size_t index = 1; index <= length; index++) {
        if (copy[index] != '/' && !(copy[index] == 0 && whole)) continue;
        char kept = copy[index];
        copy[index] = 0;
        if (mkdir(copy, 0755) != 0 && errno != EEXIST) return errno;
        copy[index] = kept;
    }
    return 0;
}

static int write_file(const struct isolation_file *file) {
    int problem = make_folders(file->path, 0);
    if (problem) return problem;
    unlink(file->path); // a link of the image is replaced, not written through
    int handle = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file->mode);
    if (handle < 0) return errno;
    fchmod(handle, file->mode);
    size_t written = 0;
    while (written < file->length) {
        ssize_t count = write(handle, file->bytes + written, file->length - written);
        if (count < 0) {
            if (errno == EINTR) continue;
            int result = errno;
            close(handle);
            return result;
        }
        written += (size_t)count;
    }
    return close(handle) == 0 ? 0 : errno;
}

static void staged_volume_name(char *name, size_t size, size_t index) {
    snprintf(name, size, "dev/.volume%zu", index);
}

/// The few devices and file systems a program expects. What the kernel refuses in an unprivileged namespace is left
/// out: most programs do without.
static void furnish(const struct isolation_plan *plan) {
    mkdir("proc", 0555);
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) {
        mount("/proc", "proc", NULL, MS_BIND | MS_REC, NULL);
    }
    mkdir("dev", 0755);
    if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k") != 0) return;
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    for (size_t index = 0; index < sizeof devices / sizeof devices[0]; index++) {
        char source[32], target[32];
        snprintf(source, sizeof source, "/dev/%s", devices[index]);
        snprintf(target, sizeof target, "dev/%s", devices[index]);
        int handle = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (handle >= 0) close(handle);
        mount(source, target, NULL, MS_BIND, NULL);
    }
    symlink("/proc/self/fd", "dev/fd");
    symlink("/proc/self/fd/0", "dev/stdin");
    symlink("/proc/self/fd/1", "dev/stdout");
    symlink("/proc/self/fd/2", "dev/stderr");
    mkdir("dev/shm", 01777);
    mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    mkdir("dev/pts", 0755);
    if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620") == 0) {
        symlink("pts/ptmx", "dev/ptmx");
    }
    // Volumes wait here: their place in the image is found only once no link can lead out of it.
    for (size_t index = 0; index < plan->volume_count; index++) {
        char staged[64];
        staged_volume_name(staged, sizeof staged, index);
        mkdir(staged, 0755);
        mount(plan->volumes[index].source, staged, NULL, MS_BIND, NULL);
    }
}

static int place_volume(const struct isolation_plan *plan, size_t index) {
    char staged[64];
    staged[0] = '/';
    staged_volume_name(staged + 1, sizeof staged - 1, index);
    int problem = make_folders(plan->volumes[index].target, 1);
    if (problem) return problem;
    if (mount(staged, plan->volumes[index].target, NULL, MS_BIND, NULL) != 0) return errno;
    umount2(staged, MNT_DETACH);
    rmdir(staged);
    return 0;
}

/// What a container engine leaves a container: nothing with which root in the guest could reach the host.
static void drop_capabilities(void) {
    static const int kept[] = {
        CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,  CAP_FOWNER,           CAP_NET_RAW,    CAP_SETGID,      CAP_SETUID,
        CAP_SETPCAP, CAP_SETFCAP,      CAP_KILL,    CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_AUDIT_WRITE,
    };
    for (int capability = 0; capability <= CAP_LAST_CAP; capability++) {
        int keep = 0;
        for (size_t index = 0; index < sizeof kept / sizeof kept[0]; index++) keep |= kept[index] == capability;
        if (!keep) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
}

static void reset_signals(void) {
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/// The image's program: never returns.
static void run_program(const struct isolation_plan *plan, int failure) {
    setsid();
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) dup2(null, STDIN_FILENO);
    if (null > STDERR_FILENO) close(null);
    if (chdir(plan->working_directory) != 0) {
        tell(failure, ISOLATION_FAILED, STAGE_DIRECTORY, errno);
        _exit(127);
    }
    drop_capabilities();
    if (plan->user >= 0) {
        gid_t group = (gid_t)plan->group;
        if (setgroups(1, &group) != 0 || setgid(group) != 0 || setuid((uid_t)plan->user) != 0) {
            tell(failure, ISOLATION_FAILED, STAGE_USER, errno);
            _exit(127);
        }
    }
    reset_signals();
    environ = (char **)plan->environment; // execvp searches the PATH of this environment
    execvp(plan->arguments[0], plan->arguments);
    tell(failure, ISOLATION_FAILED, STAGE_EXECUTE, errno);
    _exit(127);
}

/// The namespace's first process: reaps orphans, passes signals on, and ends everything when the program ends.
static void watch(pid_t program, int report, int command, int children) {
    for (;;) {
        struct pollfd waiting[] = {{command, POLLIN, 0}, {children, POLLIN, 0}};
        if (poll(waiting, 2, -1) < 0 && errno != EINTR) _exit(1);
        if (waiting[1].revents) {
            struct signalfd_siginfo information;
            while (read(children, &information, sizeof information) > 0) {}
            int status;
            pid_t ended;
            while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
                if (ended != program) continue;
                tell(report, ISOLATION_EXITED, 0, status);
                _exit(0);
            }
        }
        if (waiting[0].revents) {
            uint8_t number;
            ssize_t count = read(command, &number, 1);
            if (count == 0) _exit(0);
            if (count == 1) kill(program, number);
        }
    }
}

static void first_process(const struct isolation_plan *plan, int report, int command) {
    // The kernel ends the whole namespace with this process, and this process with the supervisor.
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    uint8_t go;
    if (read(command, &go, 1) != 1) _exit(1); // the supervisor died before it could be watched

    int stage = STAGE_ROOT;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) goto failed;
    if (plan->overlay) {
        if (mount("overlay", plan->root, "overlay", 0, plan->overlay) != 0) goto failed;
    } else if (mount(plan->root, plan->root, NULL, MS_BIND | MS_REC, NULL) != 0) {
        goto failed;
    }
    if (chdir(plan->root) != 0) goto failed;
    umask(0);
    furnish(plan);
    umask(022);
    stage = STAGE_PIVOT;
    if (syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) goto failed;
    sethostname(plan->hostname, strlen(plan->hostname));
    stage = STAGE_VOLUME;
    for (size_t index = 0; index < plan->volume_count; index++) {
        if ((errno = place_volume(plan, index)) != 0) goto failed;
    }
    stage = STAGE_FILE;
    for (size_t index = 0; index < plan->file_count; index++) {
        if ((errno = write_file(&plan->files[index])) != 0) goto failed;
    }
    make_folders(plan->working_directory, 1); // where this fails, entering it fails and is reported

    stage = STAGE_PROCESS;
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigprocmask(SIG_SETMASK, &watched, NULL);
    int children = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    int executed[2];
    if (children < 0 || pipe2(executed, O_CLOEXEC) != 0) goto failed;
    pid_t program = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (program < 0) goto failed;
    if (program == 0) run_program(plan, executed[1]);
    close(executed[1]);
    for (int handle = 0; handle <= 2; handle++) close(handle);
    struct isolation_report failure;
    ssize_t count;
    while ((count = read(executed[0], &failure, sizeof failure)) < 0 && errno == EINTR) {}
    if (count == (ssize_t)sizeof failure) {
        tell(report, ISOLATION_FAILED, failure.stage, failure.value);
        _exit(1);
    }
    close(executed[0]);
    tell(report, ISOLATION_STARTED, 0, 0);
    watch(program, report, command, children);

failed:
    tell(report, ISOLATION_FAILED, stage, errno);
    _exit(1);
}

pid_t isolation_start(const struct isolation_plan *plan, int *report, int *command) {
    int reports[2], commands[2];
    if (pipe2(reports, O_CLOEXEC) != 0) return -errno;
    if (pipe2(commands, O_CLOEXEC) != 0) {
        int problem = errno;
        close(reports[0]);
        close(reports[1]);
        return -problem;
    }
    // The raw call, because fork cannot create namespaces and unshare would move later children of this process.
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        close(reports[0]);
        close(commands[1]);
        first_process(plan, reports[1], commands[0]);
    }
    int problem = child < 0 ? errno : 0;
    close(reports[1]);
    close(commands[0]);
    if (child < 0) {
        close(reports[0]);
        close(commands[1]);
        return -problem;
    }
    uint8_t go = 1;
    while (write(commands[1], &go, 1) < 0 && errno == EINTR) {}
    *report = reports[0];
    *command = commands[1];
    return child;
}
