# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""An HTTP proxy between airboss and the local Fly that counts requests, and kills whoever sends the chosen one."""
import http.client
import re
import signal
import socket
import socketserver
import threading

# What becomes of the request at which the program is killed.
BEFORE = "before"  # it was sent, and never reaches the platform
APPLIED = "applied"  # it was done, and its answer is not delivered
ANSWERED = "answered"  # its answer was delivered, and the program is killed at once
POINTS = (BEFORE, APPLIED, ANSWERED)

ULID_OR_ID = re.compile(r"/(?:[0-9a-f]{14}|[0-9A-HJKMNP-TV-Z]{26}|rel_[0-9a-f]+|sha256:[0-9a-f]+|[0-9a-f-]{36})(?=/|$)")


class Killed(Exception):
    """The program that sent the request is dead."""


class RecordingProxy:
    """Listens on a port of its own; `target` is the local Fly's port and may change between runs."""

    def __init__(self):
        self.target = None
        self.lock = threading.Lock()
        self.reset()
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self):
                proxy.serve(self.rfile, self.wfile, self.connection)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # the program was killed in mid-sentence, which is what this is for

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def reset(self, kill_at=None, point=None):
        """Counts from 1 again; kills at request number `kill_at`, or never."""
        with self.lock:
            self.count = 0
            self.log = []
            self.kill_at = kill_at
            self.point = point
            self.victim = None
            self.killed = threading.Event()
            self.killed_label = None

    def aim(self, process):
        """Names the process (a `Popen`) to kill; it may have sent requests already."""
        with self.lock:
            self.victim = process
            if self.killed_label is not None:
                self._strike()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # One connection

    def serve(self, reader, writer, connection):
        while True:
            request = read_request(reader, writer)
            if request is None:
                return
            with self.lock:
                self.count += 1
                number = self.count
                label = request.label
                self.log.append(label)
                mine = number == self.kill_at
            try:
                if mine and self.point == BEFORE:
                    self._kill(label)
                answer = forward(request, self.target)
                if mine and self.point == APPLIED:
                    self._kill(label)
                writer.write(answer)
                writer.flush()
                if mine:
                    self._kill(label)
            except Killed:
                return
            except (OSError, http.client.HTTPException):
                return  # either side is gone: the program was killed, or the local Fly was stopped
            if request.closes:
                return

    def _kill(self, label):
        with self.lock:
            self.killed_label = label
            if self.victim is not None:
                self._strike()
        raise Killed

    def _strike(self):
        # Through its object: one that has ended by itself has given its id to somebody else.
        if self.victim.poll() is None:
            self.victim.send_signal(signal.SIGKILL)
        self.killed.set()


class Request:
    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.closes = headers.get("connection", "").lower() == "close"
        host = headers.get("host", "")
        name = ULID_OR_ID.sub("/*", path.split("?")[0])
        if ".localhost" in host:
            name = "app " + name
        self.label = f"{method} {name}"


def read_request(reader, writer):
    """The next request, whole; nil at the connection's end."""
    line = reader.readline(65536)
    while line in (b"\r\n", b"\n"):
        line = reader.readline(65536)
    words = line.decode("latin-1").split()
    if len(words) != 3:
        return None
    headers = {}
    while True:
        line = reader.readline(65536)
        if line in (b"\r\n", b"\n"):
            break
        if not line:
            return None
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.flush()
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts = []
        while True:
            size = int(reader.readline(1024).split(b";")[0], 16)
            if size == 0:
                while reader.readline(65536) not in (b"\r\n", b"\n", b""):
                    pass
                break
            part = reader.read(size)
            if len(part) < size:
                return None
            parts.append(part)
            reader.readline(8)
        body = b"".join(parts)
    else:
        length = int(headers.get("content-length", "0"))
        body = reader.read(length) if length else b""
        if len(body) < length:
            return None
    return Request(words[0], words[1], headers, body)


HOP_BY_HOP = {
    "connection", "keep-alive", "transfer-encoding", "expect", "te", "upgrade", "content-length", "http2-settings",
}


def forward(request, port):
    """Sends the request to the local Fly on a connection of its own; returns the answer's bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name not in HOP_BY_HOP:
                connection.putheader(name, value)
        connection.putheader("connection", "close")
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("content-length", str(len(request.body)))
        connection.endheaders(request.body or None)
        response = connection.getresponse()
        body = response.read()
        lines = [f"HTTP/1.1 {response.status} {response.reason or 'OK'}"]
        length = str(len(body))
        for name, value in response.getheaders():
            if name.lower() == "content-length" and request.method == "HEAD":
                length = value
            if name.lower() not in HOP_BY_HOP:
                lines.append(f"{name}: {value}")
        if response.status != 204:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if request.method == "HEAD" else body)
    finally:
        connection.close()
