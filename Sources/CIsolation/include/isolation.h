// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

#ifndef AIRBOSS_ISOLATION_H
#define AIRBOSS_ISOLATION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// A file written into the guest's root before its program starts.
struct isolation_file {
    const char *path;
    const uint8_t *bytes;
    size_t length;
    uint32_t mode;
};

/// A folder of the host that the guest sees at `target`.
struct isolation_volume {
    const char *source;
    const char *target;
};

/// Everything the guest's first process needs; it reads nothing else after the clone.
struct isolation_plan {
    const char *root;
    /// Options of the overlay to mount on `root`; NULL where `root` is a copy of the image already.
    const char *overlay;
    const char *hostname;
    const char *working_directory;
    char *const *arguments;
    char *const *environment;
    const struct isolation_file *files;
    size_t file_count;
    const struct isolation_volume *volumes;
    size_t volume_count;
    /// -1: the image names no user.
    int64_t user;
    int64_t group;
};

enum isolation_report_kind {
    /// `stage` and `value` (errno) say what could not be done; nothing of the image ran.
    ISOLATION_FAILED = 1,
    /// The image's program was executed.
    ISOLATION_STARTED = 2,
    /// `value` is the wait status of the image's program.
    ISOLATION_EXITED = 3,
};

/// What the first process writes to the report pipe: whole, because it is shorter than PIPE_BUF.
struct isolation_report {
    int32_t kind;
    int32_t stage;
    int32_t value;
};

/// Brings the loopback interface of the caller's network namespace up; 0 or errno.
int isolation_loopback_up(void);

/// Starts the guest in pid and mount namespaces of its own, which die with the calling thread. `report` receives
/// `struct isolation_report`s; a byte written to `command` is a signal number for the image's program, and closing it
/// kills the guest. Returns the first process's pid as the caller sees it, or -errno.
pid_t isolation_start(const struct isolation_plan *plan, int *report, int *command);

/// What a stage number of a failure report stands for.
const char *isolation_stage_name(int32_t stage);

/// Closes every descriptor from `first` up; 0 or errno.
int isolation_close_from(unsigned first);

/// accept4(2), which Swift's Glibc does not show: a non-blocking descriptor that exec closes, or -1 with errno.
int isolation_accept(int listener);

/// pipe2(2), which Swift's Glibc does not show: both ends are closed by exec; 0 or errno.
int isolation_pipe(int ends[2]);

int isolation_status_exit_code(int32_t status);
/// The signal that ended the process, or 0.
int isolation_status_signal(int32_t status);

#endif
