// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors
//
// A small real HTTP service for the demo and the tests, linked statically so that it runs on an empty image.
// It reads its behaviour from the file named in $SERVICE_FILE, one "key=value" a line:
//   message=TEXT   what / answers
//   health=ok|503  what every path answers with
//   crash=MS       exit with code 1 that long after the start
//   boot=MS        listen only that long after the start
// On SIGTERM or SIGINT it stops accepting, finishes what it is answering, and exits with 0.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 512, MAX_REQUEST = 8192 };

struct client {
    int socket;
    size_t length;
    char request[MAX_REQUEST];
};

static volatile sig_atomic_t stopping = 0;
static char message[256] = "hello";
static char health[16] = "ok";
static long crash_after = -1;
static long boot_time = 0;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void read_behaviour(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) return;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        if (!strncmp(line, "message=", 8)) snprintf(message, sizeof message, "%.255s", line + 8);
        if (!strncmp(line, "health=", 7)) snprintf(health, sizeof health, "%.15s", line + 7);
        if (!strncmp(line, "crash=", 6)) crash_after = atol(line + 6);
        if (!strncmp(line, "boot=", 5)) boot_time = atol(line + 5);
    }
    fclose(file);
}

static void answer(int socket, const char *request) {
    char body[1024], head[512];
    int broken = strcmp(health, "ok") != 0;
    int is_health = !strncmp(request, "GET /health", 11);
    const char *machine = getenv("FLY_MACHINE_ID");
    if (broken)
        snprintf(body, sizeof body, "{\"status\":\"down\",\"message\":\"%s\"}\n", message);
    else if (is_health)
        snprintf(body, sizeof body, "{\"status\":\"ok\",\"machine\":\"%s\"}\n", machine ? machine : "");
    else
        snprintf(body, sizeof body, "%s\n", message);
    snprintf(head, sizeof head,
             "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n",
             broken ? "503 Service Unavailable" : "200 OK", is_health || broken ? "application/json" : "text/plain",
             strlen(body), stopping ? "close" : "keep-alive");
    char whole[2048];
    int length = snprintf(whole, sizeof whole, "%s%s", head, body);
    int sent = 0;
    while (sent < length) {
        ssize_t count = write(socket, whole + sent, (size_t)(length - sent));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return;
        sent += (int)count;
    }
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    const char *path = getenv("SERVICE_FILE");
    read_behaviour(path ? path : "/app/service.conf");
    const char *port_text = getenv("PORT");
    int port = port_text ? atoi(port_text) : 8080;
    long started = milliseconds();
    printf("starting: %s\n", message);
    while (milliseconds() - started < boot_time && !stopping) usleep(10000);

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        perror("listen");
        return 2;
    }
    printf("listening on %d\n", port);

    static struct client clients[MAX_CLIENTS];
    static struct pollfd polled[MAX_CLIENTS + 1];
    int count = 0;
    while (!stopping || count > 0) {
        if (crash_after >= 0 && milliseconds() - started >= crash_after) {
            fprintf(stderr, "fatal: cannot go on\n");
            return 1;
        }
        if (stopping && listener >= 0) {
            close(listener);
            listener = -1;
        }
        for (int i = 0; i < count; i++) polled[i] = (struct pollfd){.fd = clients[i].socket, .events = POLLIN};
        polled[count] = (struct pollfd){.fd = listener, .events = POLLIN};
        int ready = poll(polled, (nfds_t)count + 1, 50);
        if (ready < 0 && errno != EINTR) break;
        if (listener >= 0 && (polled[count].revents & POLLIN) && count < MAX_CLIENTS) {
            int accepted = accept(listener, NULL, NULL);
            if (accepted >= 0) {
                clients[count] = (struct client){.socket = accepted};
                polled[count].revents = 0;
                count++;
            }
        }
        for (int i = 0; i < count; i++) {
            struct client *client = &clients[i];
            int gone = 0;
            if (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) {
                ssize_t got = read(client->socket, client->request + client->length,
                                   sizeof client->request - 1 - client->length);
                if (got <= 0) {
                    gone = 1;
                } else {
                    client->length += (size_t)got;
                    client->request[client->length] = 0;
                    char *end = strstr(client->request, "\r\n\r\n");
                    if (end) {
                        answer(client->socket, client->request);
                        client->length = 0;
                        gone = stopping;
                    } else if (client->length >= sizeof client->request - 1) {
                        gone = 1;
                    }
                }
            } else if (stopping && client->length == 0) {
                gone = 1;
            }
            if (gone) {
                close(client->socket);
                clients[i] = clients[count - 1];
                polled[i] = polled[count - 1];
                count--;
                i--;
            }
        }
    }
    printf("stopped\n");
    return 0;
}
