#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""Whole-process measurements of airboss; used by Benchmarks/run.

measure.py cold-start AIRBOSS
measure.py rolling AIRBOSS FOLDER MACHINES BOOT ROUND_TRIP
"""
import json
import math
import os
import statistics
import subprocess
import sys
import time
import urllib.request


def spawn(arguments, **options):
    """Runs a command; returns (exit code, seconds, peak resident megabytes, standard output)."""
    reader, writer = os.pipe()
    started = time.monotonic()
    child = subprocess.Popen(arguments, stdout=writer, **options)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        output = stream.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, time.monotonic() - started, usage.ru_maxrss / 1024, output.decode()


def cold_start(airboss):
    times, peaks = [], []
    spawn([airboss, "--version"])
    for _ in range(31):
        _, seconds, peak, _ = spawn([airboss, "--version"])
        times.append(seconds * 1000)
        peaks.append(peak)
    print(f"median {statistics.median(times):.1f} ms (min {min(times):.1f}, max {max(times):.1f}), "
          f"peak memory {max(peaks):.1f} MB")


def seconds_of(text):
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])


def rolling(airboss, folder, machines, boot, round_trip):
    os.makedirs(folder)
    repository = os.path.join(folder, "repository")
    os.makedirs(os.path.join(repository, "app"))
    os.makedirs(os.path.join(repository, "pipelines"))
    log = open(os.path.join(folder, "simulator.log"), "wb")
    simulator = subprocess.Popen(
        [airboss, "simulator", "--listen", "127.0.0.1:0", "--directory", os.path.join(folder, "fly"), "--guests",
         "model", "--boot-time", boot, "--round-trip", round_trip, "--output", "json"],
        stdout=subprocess.PIPE, stderr=log)
    try:
        address = json.loads(simulator.stdout.readline())["address"]
        measure_rolling(airboss, folder, repository, address, machines, boot, round_trip)
    finally:
        simulator.terminate()
        simulator.wait()


def measure_rolling(airboss, folder, repository, address, machines, boot, round_trip):
    environment = dict(
        os.environ, FLY_FLAPS_BASE_URL=f"http://{address}", FLY_API_BASE_URL=f"http://{address}",
        FLY_REGISTRY_HOST=address, FLY_API_TOKEN="benchmark", AIRBOSS_STATE=f"sqlite:{folder}/state.sqlite")
    for name in ("GITHUB_ACTIONS", "GITHUB_SHA", "GITHUB_STEP_SUMMARY"):
        environment.pop(name, None)
    request = urllib.request.Request(
        f"http://{address}/v1/apps", data=b'{"app_name":"bench","org_slug":"personal"}',
        headers={"Authorization": "Bearer benchmark", "Content-Type": "application/json"})
    urllib.request.urlopen(request).read()
    with open(os.path.join(repository, "fly.toml"), "w") as file:
        file.write('app = "bench"\nprimary_region = "ord"\n[http_service]\n  internal_port = 8080\n'
                   '  [[http_service.checks]]\n    path = "/health"\n    interval = "5s"\n    timeout = "1s"\n')
    with open(os.path.join(repository, "pipelines", "bench.yml"), "w") as file:
        file.write(f"""version: 1
app: bench
fly_toml: ../fly.toml
source: {{ repository: .. }}
build:
  layers: {{ base: scratch, copy: [{{ from: app, to: /app }}], entrypoint: [/app/server] }}
deploy: {{ machines: {machines}, max_unavailable: 0.33, serving_floor: 1, wait_timeout: 2m }}
verify: {{ url: "http://bench.localhost:{address.split(":")[-1]}", attempts: 5, interval: 500ms, consecutive: 1, soak: 0s }}
""")

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=b", "-c", "user.email=b@example.invalid", *arguments],
                       cwd=repository, check=True, stdout=subprocess.DEVNULL)

    git("init", "-q", "-b", "main")
    server = os.path.join(repository, "app", "server")
    results = []
    for version in range(4):
        with open(server, "w") as file:
            file.write(f"#!/bin/sh\necho {version}\n")
        os.chmod(server, 0o755)
        git("add", "-A")
        git("commit", "-qm", f"version {version}")
        code, seconds, peak, output = spawn(
            [airboss, "deploy", "bench", "--reason", "benchmark", "--output", "json"], cwd=repository,
            env=environment, stderr=subprocess.DEVNULL)
        record = json.loads(output.strip().splitlines()[-1])
        if code != 0:
            sys.exit(f"the deploy ended with {code}: {record['headline']}")
        time.sleep(4)  # the platform counts by app, not by run: the next one shall find its allowance whole
        results.append((seconds, peak, record["fly_api_calls"]))
        if os.environ.get("STAGES"):
            for stage in record["stages"]:
                print("   ", stage["stage"], stage["started_at"], stage["finished_at"], stage["detail"][:60])
    world = json.loads(urllib.request.urlopen(f"http://{address}/_simulator/state").read())
    width = max(1, math.floor(0.33 * machines))
    waves = math.ceil(machines / width)
    # A wave can't be quicker than one update's round trip and the boot.
    critical = waves * (seconds_of(boot) + seconds_of(round_trip))
    rolled = results[1:]
    wall = statistics.median(r[0] for r in rolled)
    calls = statistics.median(r[2] for r in rolled)
    print(f"first deploy: {results[0][0]:.2f} s, {results[0][2]} API calls, peak memory {results[0][1]:.1f} MB")
    print(f"rolling, {len(rolled)} runs: median {wall:.2f} s; critical path of the platform {critical:.2f} s "
          f"({waves} waves of {width}); over it {wall - critical:.2f} s")
    print(f"API calls: median {calls:.0f} ({calls / machines:.1f} a machine, everything counted)")
    print(f"peak memory: {max(r[1] for r in rolled):.1f} MB")
    print(f"429 answers: {world['throttled']}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["cold-start"] and len(sys.argv) == 3:
        cold_start(sys.argv[2])
    elif sys.argv[1:2] == ["rolling"] and len(sys.argv) == 7:
        rolling(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[6])
    else:
        sys.exit(__doc__)
