// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The program that test images contain: a small HTTP server whose behaviour its environment and paths choose.
let guestServerSource = #"""
    #include <arpa/inet.h>
    #include <errno.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <unistd.h>

    static volatile int healthy = 1;

    static void on_term(int number) { (void)number; _exit(7); }

    static void all(int handle, const char *bytes, size_t length) {
        while (length > 0) {
            ssize_t count = write(handle, bytes, length);
            if (count <= 0) return;
            bytes += count;
            length -= (size_t)count;
        }
    }

    static void answer(int handle, int status, const char *body, size_t length) {
        char head[256];
        int count = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                             status, length);
        all(handle, head, (size_t)count);
        all(handle, body, length);
    }

    static void text(int handle, int status, const char *body) { answer(handle, status, body, strlen(body)); }

    static void *serve(void *argument) {
        int handle = (int)(long)argument;
        char request[16384];
        size_t have = 0;
        char *end = NULL;
        while (have < sizeof request - 1) {
            ssize_t count = read(handle, request + have, sizeof request - 1 - have);
            if (count <= 0) break;
            have += (size_t)count;
            request[have] = 0;
            if ((end = strstr(request, "\r\n\r\n"))) break;
        }
        char method[16] = "", path[1024] = "";
        if (!end || sscanf(request, "%15s %1023s", method, path) != 2) { close(handle); return NULL; }
        if (!strcmp(path, "/health")) text(handle, healthy ? 200 : 503, healthy ? "ok" : "sick");
        else if (!strcmp(path, "/sick")) { healthy = 0; text(handle, 200, "now sick"); }
        else if (!strcmp(path, "/well")) { healthy = 1; text(handle, 200, "now well"); }
        else if (!strncmp(path, "/env/", 5)) { char *v = getenv(path + 5); text(handle, v ? 200 : 404, v ? v : ""); }
        else if (!strncmp(path, "/exit/", 6)) exit(atoi(path + 6));
        else if (!strcmp(path, "/abort")) abort();
        else if (!strncmp(path, "/slow/", 6)) { usleep(1000 * (useconds_t)atoi(path + 6)); text(handle, 200, "slow"); }
        else if (!strcmp(path, "/headers")) answer(handle, 200, request, (size_t)(end - request));
        else if (!strcmp(path, "/half")) {
            const char *part = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";
            all(handle, part, strlen(part));
            usleep(50000);
            exit(3);
        } else if (!strncmp(path, "/file/", 6)) {
            char buffer[4096];
            FILE *file = fopen(path + 5, "r");
            size_t count = file ? fread(buffer, 1, sizeof buffer, file) : 0;
            if (file) answer(handle, 200, buffer, count); else text(handle, 404, strerror(errno));
            if (file) fclose(file);
        } else if (!strcmp(path, "/who")) {
            char body[256];
            snprintf(body, sizeof body, "pid=%d uid=%d gid=%d", getpid(), getuid(), getgid());
            text(handle, 200, body);
        } else if (!strncmp(path, "/big/", 5)) {
            long left = atol(path + 5);
            char head[128];
            int count = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n", left);
            all(handle, head, (size_t)count);
            char block[65536];
            memset(block, 'b', sizeof block);
            while (left > 0) { size_t n = left > 65536 ? 65536 : (size_t)left; all(handle, block, n); left -= (long)n; }
        } else if (!strcmp(path, "/count")) {
            char *field = strcasestr(request, "content-length:");
            long wanted = field ? atol(field + 15) : 0, got = (long)(have - (size_t)(end + 4 - request));
            char block[65536], body[64];
            while (got < wanted) {
                ssize_t count = read(handle, block, sizeof block);
                if (count <= 0) break;
                got += count;
            }
            snprintf(body, sizeof body, "%ld", got);
            text(handle, 200, body);
        } else text(handle, 404, "no such path");
        close(handle);
        return NULL;
    }

    int main(int count, char **words) {
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (count > 2 && !strcmp(words[1], "exit")) return atoi(words[2]);
        if (count > 2 && !strcmp(words[1], "say")) { puts(words[2]); fputs("oops", stderr); return 0; }
        char *term = getenv("ON_TERM");
        if (term && !strcmp(term, "ignore")) signal(SIGTERM, SIG_IGN);
        if (term && !strcmp(term, "seven")) signal(SIGTERM, on_term);
        signal(SIGPIPE, SIG_IGN);
        if (getenv("FORK")) { if (fork() == 0) for (;;) pause(); }
        char *delay = getenv("DELAY_MS");
        if (delay) usleep(1000 * (useconds_t)atoi(delay));
        int isIPv6 = getenv("IPV6") != NULL, one = 1;
        int listener = socket(isIPv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        struct sockaddr_in address4 = {.sin_family = AF_INET, .sin_port = htons(8080)};
        struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_port = htons(8080), .sin6_addr = in6addr_any};
        if (isIPv6) setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        struct sockaddr *address = isIPv6 ? (struct sockaddr *)&address6 : (struct sockaddr *)&address4;
        if (bind(listener, address, isIPv6 ? sizeof address6 : sizeof address4) != 0 || listen(listener, 1024) != 0) {
            perror("listen");
            return 98;
        }
        puts("listening");
        for (;;) {
            int handle = accept(listener, NULL, NULL);
            if (handle < 0) continue;
            pthread_t thread;
            if (pthread_create(&thread, NULL, serve, (void *)(long)handle) != 0) close(handle);
            else pthread_detach(thread);
        }
    }
    """#
