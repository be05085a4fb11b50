#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""Sends requests without pause until it is stopped, and writes one line for each: when, status or failure.

usage: load.py ADDRESS PORT HOST LOG [CLIENTS]
"""
import http.client
import signal
import sys
import threading
import time

address, port, host, log_path = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
clients = int(sys.argv[5]) if len(sys.argv) > 5 else 4
PAUSE_SECONDS = 0.01
stopping = threading.Event()
lock = threading.Lock()


def send(log):
    connection = None
    while not stopping.is_set():
        started = time.time()
        try:
            if connection is None:
                connection = http.client.HTTPConnection(address, port, timeout=10)
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            body = answer.read()
            outcome = f"{answer.status} {body.decode(errors='replace').strip()[:60]}"
            if answer.will_close:
                connection.close()
                connection = None
        except Exception as error:  # every kind of failure is a failed request
            outcome = f"failed {type(error).__name__}: {error}"
            if connection is not None:
                connection.close()
            connection = None
        with lock:
            log.write(f"{int(started * 1000)} {outcome}\n")
        stopping.wait(PAUSE_SECONDS)


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
signal.signal(signal.SIGINT, lambda *_: stopping.set())
with open(log_path, "w", buffering=1) as log:
    threads = [threading.Thread(target=send, args=(log,)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
