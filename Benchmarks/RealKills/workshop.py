# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""A folder with a git repository, a pipeline, a state store and a local Fly, and the real program to use them."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from recording_proxy import RecordingProxy

APP = "harbour"
TOKEN = "kill-token"
MACHINES = 3
# A dead run's leases end after this by themselves.
LEASE_SECONDS = 60
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

FLY_TOML = """app = "harbour"
primary_region = "ord"
kill_signal = "SIGTERM"
kill_timeout = "5s"

[[services]]
  protocol = "tcp"
  internal_port = 8080

  [[services.ports]]
    port = 80
    handlers = ["http"]

  [[services.tcp_checks]]
    interval = "1s"
    timeout = "1s"
    grace_period = "1s"

[[vm]]
  size = "shared-cpu-1x"
"""

PIPELINE = """version: 1
app: harbour
fly_toml: ../fly.toml
source: {{ repository: .., branch: main }}
build:
  layers:
    base: scratch
    copy: [{{ from: app, to: /app }}]
    entrypoint: [/app/server]
deploy:
  strategy: rolling
  machines: 3
  max_unavailable: 1
  serving_floor: 2
  wait_timeout: 60s
verify:
  url: "http://harbour.localhost:{port}"
  health: {{ path: /health, status: [200], body: {{ status: [ok] }}, timeout: 10s }}
  attempts: 3
  interval: 100ms
  consecutive: 2
  smoke: [{{ path: /, status: [200] }}]
"""

COMMITS = [
    ("good", ["message=hello"]),
    ("better", ["message=welcome"]),
    ("broken", ["message=welcome", "health=503"]),
]


# Every program and local Fly that runs.
running = set()


def end_with_everything():
    """Makes a signal that ends this program end what it started, too."""
    def end(number, _):
        for process in list(running):
            if process.poll() is None:
                process.kill()
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


class Trouble(Exception):
    """A problem of the harness's own surroundings, not of what it tries."""


def base_environment():
    """Enough for tools to work, and nothing of whoever runs this."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": tempfile.gettempdir(), "LC_ALL": "C.UTF-8",
        "TMPDIR": tempfile.gettempdir(), "USER": "tester", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "NO_COLOR": "1",
    }


def compile_service(folder):
    """The demo's service, linked statically so that it runs on an empty image."""
    binary = os.path.join(folder, "server")
    source = os.path.join(ROOT, "scripts", "demo-service", "server.c")
    done = subprocess.run(["cc", "-O1", "-static", "-o", binary, source], capture_output=True, text=True)
    if done.returncode:
        raise Trouble(f"cc -static: {done.stderr}")
    return binary


class Outcome:
    def __init__(self, status, output, seconds):
        self.status = status  # negative: ended by that signal
        self.output = output
        self.seconds = seconds

    @property
    def lines(self):
        found = []
        for line in self.output.splitlines():
            if line.startswith("{"):
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue  # cut off by the kill
        return found

    @property
    def run(self):
        """The id of the run it began; None where it began none."""
        return next((line.get("run") for line in self.lines if line.get("type") == "run.started"), None)

    @property
    def last(self):
        return self.lines[-1] if self.lines else {}

    @property
    def headline(self):
        return self.last.get("headline") or self.last.get("message") or ""

    def tail(self, count=1500):
        return self.output[-count:]


class Program:
    """The program as a child process, with both its streams in one file."""

    def __init__(self, command, environment, directory, log, **options):
        self.path = log
        self.began = time.monotonic()
        with open(log, "wb") as stream:
            self.process = subprocess.Popen(
                command, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=stream,
                stderr=subprocess.STDOUT, **options)
        running.add(self.process)

    def send(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def output(self):
        with open(self.path, "rb") as stream:
            return stream.read().decode("utf-8", "replace")

    def end(self, limit=300):
        """Waits for its end; one that takes longer than `limit` seconds is killed, and said to hang."""
        try:
            status = self.process.wait(limit)
            running.discard(self.process)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            running.discard(self.process)
            return Outcome(None, self.output() + f"\n(it hung: killed after {limit} s)", limit)
        return Outcome(status, self.output(), time.monotonic() - self.began)


class Workshop:
    def __init__(self, airboss, folder, service, arguments=()):
        self.airboss = airboss
        self.folder = folder
        self.repository = os.path.join(folder, "harbour")
        self.simulator_arguments = list(arguments)
        self.simulator = None
        self.port = None
        self.counter = 0
        self.proxy = RecordingProxy()
        os.makedirs(os.path.join(self.repository, "app"))
        os.makedirs(os.path.join(self.repository, "pipelines"))
        shutil.copy(service, os.path.join(self.repository, "app", "server"))
        self.write("fly.toml", FLY_TOML)
        self.write("pipelines/production.yml", PIPELINE.format(port=self.proxy.port))
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Tess Tester")
        self.git("config", "user.email", "tess@example.invalid")
        self.commits = {}
        for name, behaviour in COMMITS:
            self.write("app/service.conf", "".join(line + "\n" for line in behaviour))
            self.git("add", "-A")
            self.git("commit", "-q", "-m", name)
            self.commits[name] = self.git("rev-parse", "HEAD").strip()

    def close(self):
        self.stop_simulator(signal.SIGKILL)
        self.proxy.close()

    def write(self, path, text):
        with open(os.path.join(self.repository, path), "w") as file:
            file.write(text)

    def git(self, *arguments):
        # The same commits, and so the same images, in every workshop.
        date = "2026-01-05T09:00:00Z"
        environment = dict(base_environment(), GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
        return subprocess.run(
            ["git", *arguments], cwd=self.repository, env=environment, check=True, capture_output=True, text=True
        ).stdout

    # The local Fly

    @property
    def fly_folder(self):
        return os.path.join(self.folder, "fly")

    @property
    def state_file(self):
        return os.path.join(self.folder, "state", "state.sqlite")

    def start_simulator(self):
        command = [
            self.airboss, "simulator", "--listen", "127.0.0.1:0", "--directory", self.fly_folder, "--output", "json",
            "--no-rate-limits", *self.simulator_arguments,
        ]
        # One that is killed leaves its sockets behind: here, where they go with the rest.
        sockets = os.path.join(self.folder, "t")
        shutil.rmtree(sockets, ignore_errors=True)
        os.makedirs(sockets)
        with open(os.path.join(self.folder, "simulator.log"), "ab") as log:
            self.simulator = subprocess.Popen(
                command, env=dict(base_environment(), TMPDIR=sockets), cwd="/", stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log)
        running.add(self.simulator)
        line = self.simulator.stdout.readline()
        if not line:
            raise Trouble("the local Fly did not start: see " + os.path.join(self.folder, "simulator.log"))
        self.port = int(json.loads(line)["address"].rsplit(":", 1)[1])
        self.proxy.target = self.port

    def stop_simulator(self, number=signal.SIGTERM):
        if self.simulator is None:
            return
        if self.simulator.poll() is None:
            self.simulator.send_signal(number)
        self.simulator.wait()
        self.simulator.stdout.close()
        running.discard(self.simulator)
        self.simulator = None

    def call(self, path, method="GET", body=None, host=None, timeout=30):
        """A call of the local Fly itself, past the proxy; returns status and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            if host:
                headers["Host"] = host
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def state(self):
        status, text = self.call("/_simulator/state")
        if status != 200:
            raise Trouble(f"the local Fly says {status}: {text}")
        return json.loads(text)["apps"].get(APP, {"machines": [], "releases": [], "calls": {}})

    def visit(self, path="/"):
        """What a user of the app gets: the status, or 0 where nobody answers."""
        try:
            return self.call(path, host=f"{APP}.localhost:{self.port}", timeout=10)[0]
        except OSError:
            return 0

    def wait_until_healthy(self, limit=60):
        deadline = time.monotonic() + limit
        while True:
            machines = self.state()["machines"]
            if all(machine["routable"] for machine in machines):
                return
            if time.monotonic() > deadline:
                raise Trouble(f"the machines did not become healthy: {machines}")
            time.sleep(0.05)

    # What was before a run, to begin from as often as wanted

    def prepare(self):
        """Makes the states that runs begin from: `empty`, `one` release, `two` releases."""
        self.start_simulator()
        status, text = self.call("/v1/apps", "POST", {"app_name": APP, "org_slug": "personal"})
        if status != 201:
            raise Trouble(f"no app: {status} {text}")
        self.keep("empty")
        for name, commit in (("one", "good"), ("two", "better")):
            done = self.run("deploy", "production", "--commit", self.commits[commit], "--reason", f"Make {name}")
            if done.status != 0:
                raise Trouble(f"the deploy of “{commit}” failed: {done.output}")
            self.keep(name)
        self.stop_simulator()

    def keep(self, name):
        self.stop_simulator()
        kept = os.path.join(self.folder, "kept", name)
        shutil.copytree(self.fly_folder, os.path.join(kept, "fly"), symlinks=True)
        os.makedirs(os.path.dirname(self.state_file), exist_ok=True)
        shutil.copytree(os.path.dirname(self.state_file), os.path.join(kept, "state"))
        self.start_simulator()
        self.wait_until_healthy()

    def begin(self, name):
        """Everything as it was kept under `name`, with machines that serve."""
        self.stop_simulator(signal.SIGKILL)
        kept = os.path.join(self.folder, "kept", name)
        for path, part in ((self.fly_folder, "fly"), (os.path.dirname(self.state_file), "state")):
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(os.path.join(kept, part), path, symlinks=True)
        self.start_simulator()
        self.wait_until_healthy()

    def lose_journal(self):
        """What a runner's end does: the state store is gone with it."""
        shutil.rmtree(os.path.dirname(self.state_file))
        os.makedirs(os.path.dirname(self.state_file))

    # The program

    def environment(self, changes=None):
        environment = base_environment()
        address = f"127.0.0.1:{self.proxy.port}"
        # A killed program leaves the image it was packing behind: here, where it goes with the rest.
        temporary = os.path.join(self.folder, "tmp")
        os.makedirs(temporary, exist_ok=True)
        environment.update(
            TMPDIR=temporary,
            FLY_FLAPS_BASE_URL=f"http://{address}", FLY_API_BASE_URL=f"http://{address}", FLY_REGISTRY_HOST=address,
            FLY_API_TOKEN=TOKEN, AIRBOSS_STATE=f"sqlite:{self.state_file}")
        environment.update(changes or {})
        return environment

    def start(self, *arguments, changes=None, wrapper=(), **options):
        self.counter += 1
        log = os.path.join(self.folder, f"run-{self.counter}.log")
        return Program(
            [*wrapper, self.airboss, *arguments, "--output", "json"], self.environment(changes), self.repository, log,
            **options)

    def run(self, *arguments, limit=300, **options):
        return self.start(*arguments, **options).end(limit)


class Visitors:
    """Asks the app ten times a second, and remembers what was wrong."""

    def __init__(self, workshop):
        self.workshop = workshop
        self.over = threading.Event()
        self.asked = 0
        self.unanswered = 0
        self.thread = threading.Thread(target=self.visit, daemon=True)
        self.thread.start()

    def visit(self):
        while not self.over.wait(0.1):
            status = self.workshop.visit()
            self.asked += 1
            if status != 200:
                self.unanswered += 1

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.unanswered
