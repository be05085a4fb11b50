#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""How long `airboss plan` takes for a commit with 30 CI checks, and what it asks of GitHub; used by Benchmarks/run.

plan.py AIRBOSS FOLDER ROUND_TRIP_MILLISECONDS
"""
import http.server
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

from measure import spawn

CHECKS = ["Docs Policy", "Danger", "Gitleaks", "AI Config", "Health Check"] + [f"Check {n}" for n in range(25)]


def github(pause):
    """A GitHub that answers for any commit; returns the server and the list of what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(self.path)
            time.sleep(pause)
            if "/check-runs" in self.path:
                answer = {"total_count": len(CHECKS), "check_runs": [
                    {"id": n, "name": name, "status": "completed", "conclusion": "success",
                     "started_at": "2026-11-21T09:00:00Z", "html_url": "", "app": {"slug": "github-actions"}}
                    for n, name in enumerate(CHECKS)]}
            elif self.path.split("?")[0].endswith("/status"):
                answer = {"state": "success", "statuses": [], "total_count": 0}
            else:
                answer = []
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, asked


def main(airboss, folder, round_trip):
    repository = os.path.join(folder, "repository")
    os.makedirs(os.path.join(repository, "app"))
    os.makedirs(os.path.join(repository, "pipelines"))
    simulator = subprocess.Popen(
        [airboss, "simulator", "--listen", "127.0.0.1:0", "--directory", os.path.join(folder, "fly"), "--guests",
         "model", "--boot-time", "50ms", "--round-trip", f"{round_trip}ms", "--output", "json", "--no-rate-limits"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    server, asked = github(round_trip / 1000)
    try:
        address = json.loads(simulator.stdout.readline())["address"]
        measure(airboss, folder, repository, address, server, asked, round_trip)
    finally:
        simulator.terminate()
        simulator.wait()


def measure(airboss, folder, repository, address, server, asked, round_trip):
    environment = dict(
        os.environ, FLY_FLAPS_BASE_URL=f"http://{address}", FLY_API_BASE_URL=f"http://{address}",
        FLY_REGISTRY_HOST=address, FLY_API_TOKEN="benchmark", AIRBOSS_STATE=f"sqlite:{folder}/state.sqlite",
        GITHUB_API_URL=f"http://127.0.0.1:{server.server_address[1]}", GITHUB_TOKEN="benchmark",
        GITHUB_REPOSITORY="bench/bench")
    for name in ("GITHUB_ACTIONS", "GITHUB_SHA", "GITHUB_STEP_SUMMARY"):
        environment.pop(name, None)
    urllib.request.urlopen(urllib.request.Request(
        f"http://{address}/v1/apps", data=b'{"app_name":"bench","org_slug":"personal"}',
        headers={"Authorization": "Bearer benchmark", "Content-Type": "application/json"})).read()
    with open(os.path.join(repository, "fly.toml"), "w") as file:
        file.write('app = "bench"\nprimary_region = "ord"\n[http_service]\n  internal_port = 8080\n')
    with open(os.path.join(repository, "pipelines", "bench.yml"), "w") as file:
        file.write(f"""version: 1
app: bench
fly_toml: ../fly.toml
source: {{ repository: .., branch: main }}
gates: {{ checks: [{", ".join(CHECKS)}] }}
build:
  layers: {{ base: scratch, copy: [{{ from: app, to: /app }}], entrypoint: [/app/server] }}
deploy: {{ machines: 2 }}
verify: {{ url: "http://bench.localhost:{address.split(":")[-1]}", interval: 10s, consecutive: 1, soak: 15m }}
""")

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=b", "-c", "user.email=b@example.invalid", *arguments],
                       cwd=repository, check=True, stdout=subprocess.DEVNULL)

    git("init", "-q", "-b", "main")
    server_file = os.path.join(repository, "app", "server")
    with open(server_file, "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod(server_file, 0o755)
    git("add", "-A")
    git("commit", "-qm", "one")
    times = []
    for _ in range(11):
        asked.clear()
        code, seconds, _, output = spawn(
            [airboss, "plan", "bench", "--output", "json"], cwd=repository, env=environment,
            stderr=subprocess.DEVNULL)
        if code != 0:
            sys.exit(f"the plan ended with {code}: {json.loads(output).get('refusal')}")
        times.append(seconds)
    print(f"plan with {len(CHECKS)} checks, {round_trip} ms round trips: median {statistics.median(times):.3f} s "
          f"({min(times):.3f} to {max(times):.3f}); {len(asked)} calls of GitHub")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
