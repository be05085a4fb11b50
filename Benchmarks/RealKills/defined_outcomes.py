#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""Does to the real program, in mid-rollout, what happens to programs, and checks that it ends as promised.

Signals, a closed terminal, a suspension longer than a lease, a revoked token, a full disk, a locked journal, a clock
that jumps: each has a defined exit code, leaves no lease beyond its time to live, and `airboss recover` clears up.

    Benchmarks/RealKills/defined_outcomes.py --airboss .build/release/airboss           every case
    …  --case sigint --case disk_full                                                   some of them
    …  --quick                                                                          without those over a minute
"""
import argparse
import datetime
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

from verdict import final_digest, managed
from workshop import LEASE_SECONDS, TOKEN, Trouble, Workshop, base_environment, compile_service, end_with_everything

# A cancelled job of GitHub's gets SIGINT, and 7.5 seconds later SIGTERM.
MADE_SAFE_WITHIN = 7.5
# Longer than a run of three machines takes, waits for leases included: what goes on after it hangs.
PATIENCE = 240
CASES = {}


class Skipped(Exception):
    """What a case needs is not here."""


def case(is_slow=False):
    def note(function):
        CASES[function.__name__] = (function, is_slow)
        return function
    return note


class Trial:
    """A rollout that was begun, and what is found wrong with its end."""

    def __init__(self, workshop, within):
        self.workshop = workshop
        self.within = within
        self.found = []
        self.notes = {}

    def begin(self, **options):
        """Starts a deploy and returns once its first machine was updated."""
        self.workshop.begin("one")
        self.before = final_digest(self.workshop.state())
        program = self.workshop.start(
            "deploy", "production", "--commit", self.workshop.commits["better"], "--reason", "To be disturbed",
            **options)
        self.until_rollout(program)
        return program

    def until_rollout(self, program):
        deadline = time.monotonic() + 120
        while True:
            state = self.workshop.state()
            if any(machine["digest"] != self.before for machine in state["machines"]):
                return
            if program.process.poll() is not None or time.monotonic() > deadline:
                raise Trouble(f"the rollout did not begin: {program.output()}")
            time.sleep(0.02)

    def expect(self, is_so, sentence):
        if not is_so:
            self.found.append(sentence)

    def expect_exit(self, outcome, *codes):
        self.notes["exit"] = outcome.status
        self.expect(
            outcome.status in codes,
            f"it ended with {outcome.status}, not {codes}: {outcome.headline or outcome.tail()}")

    def expect_quick(self, since):
        took = time.monotonic() - since
        self.notes["made_safe_s"] = round(took, 2)
        self.expect(took <= self.within, f"it took {took:.1f} s to make safe")

    def expect_no_leases(self):
        leased = [machine["id"] for machine in self.workshop.state()["machines"] if machine["leased"]]
        self.expect(not leased, f"leases were left: {leased}")

    def expect_leases_to_end(self):
        deadline = time.monotonic() + LEASE_SECONDS + 5
        begin = time.monotonic()
        while any(machine["leased"] for machine in self.workshop.state()["machines"]):
            if time.monotonic() > deadline:
                self.found.append("a lease outlived the run by more than its time to live")
                return
            time.sleep(0.2)
        self.notes["leases_gone_s"] = round(time.monotonic() - begin, 1)

    def expect_whole(self):
        """One digest, everything serving."""
        state = self.workshop.state()
        self.expect(len(managed(state)) == 3, f"{len(managed(state))} machines")
        self.expect(final_digest(state) is not None, "the fleet is mixed")
        self.expect(all(machine["routable"] for machine in state["machines"]), "a machine does not serve")
        self.expect(self.workshop.visit() == 200, "the app does not answer")
        still_open = [release for release in state["releases"] if release["status"] in ("pending", "running")]
        self.expect(not still_open, f"open platform releases: {still_open}")

    def expect_recovery(self, exits=(0, 10), **options):
        recovered = self.workshop.run("recover", "production", limit=PATIENCE, **options)
        self.notes["recover_exit"] = recovered.status
        self.notes["recover_s"] = round(recovered.seconds, 1)
        self.expect(
            recovered.status in exits,
            f"recover ended with {recovered.status}: {recovered.headline or recovered.tail()}")
        self.expect_whole()
        self.expect_no_leases()

    def expect_way_on(self, outcome):
        """A person is told what to do next."""
        steps = outcome.last.get("next_steps") or outcome.last.get("hint")
        self.expect(bool(steps), f"it does not say how to go on: {outcome.last}")


# Signals

def interrupt(trial, number, exits, times=1):
    program = trial.begin()
    since = time.monotonic()
    for _ in range(times):
        program.send(number)
        time.sleep(0.05)
    outcome = program.end(PATIENCE)
    trial.expect_quick(since)
    trial.expect_exit(outcome, exits)
    trial.expect_no_leases()
    trial.expect(outcome.last.get("outcome") == "interrupted", f"the last line is {outcome.last}")
    trial.expect_recovery()


@case()
def sigint(trial):
    interrupt(trial, signal.SIGINT, 130)


@case()
def sigint_twice(trial):
    interrupt(trial, signal.SIGINT, 130, times=2)


@case()
def sigterm(trial):
    interrupt(trial, signal.SIGTERM, 143)


@case()
def sighup(trial):
    interrupt(trial, signal.SIGHUP, 130)


@case()
def runner_cancelled(trial):
    """As GitHub cancels a job: SIGINT, SIGTERM 7.5 s later, the kill 2.5 s after that."""
    program = trial.begin()
    since = time.monotonic()
    program.send(signal.SIGINT)
    for number, pause in ((signal.SIGTERM, 7.5), (signal.SIGKILL, 2.5)):
        deadline = time.monotonic() + pause
        while program.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if program.process.poll() is None:
            program.send(number)
    outcome = program.end(PATIENCE)
    trial.expect_quick(since)
    trial.expect_exit(outcome, 130)
    trial.expect_no_leases()
    trial.expect_recovery()


@case()
def terminal_closed(trial):
    """The window is closed: its end of the terminal goes, and SIGHUP comes."""
    if not shutil.which("setsid"):
        raise Skipped("setsid is not installed")
    master, slave = os.openpty()
    workshop = trial.workshop
    workshop.begin("one")
    trial.before = final_digest(workshop.state())
    # A session of its own, with this terminal in control of it; setsid puts the program in its own place.
    command = [
        "setsid", "-c", workshop.airboss, "deploy", "production", "--commit", workshop.commits["better"], "--reason",
        "Typed",
    ]
    process = subprocess.Popen(
        command, env=workshop.environment(), cwd=workshop.repository, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    os.set_blocking(master, False)
    deadline = time.monotonic() + 120
    while all(machine["digest"] == trial.before for machine in workshop.state()["machines"]):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Trouble("the rollout did not begin")
        try:
            os.read(master, 65536)  # a full terminal would stop the program
        except BlockingIOError:
            time.sleep(0.02)
    since = time.monotonic()
    os.close(master)
    try:
        status = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    trial.expect_quick(since)
    trial.notes["exit"] = status
    trial.expect(status == 130, f"it ended with {status}, not 130")
    trial.expect_no_leases()
    trial.expect_recovery()


# Sleep

@case(is_slow=True)
def suspended(trial):
    """Stopped for longer than a lease lives, and nobody else came by: it finds its leases gone, and ends defined."""
    program = trial.begin()
    program.send(signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 10)
    trial.expect_no_leases()
    program.send(signal.SIGCONT)
    outcome = program.end(PATIENCE)
    trial.expect_exit(outcome, 0, 10, 11)
    if outcome.status == 11:
        trial.expect_way_on(outcome)
    trial.expect_leases_to_end()
    trial.expect_recovery()


@case(is_slow=True)
def suspended_and_taken_over(trial):
    """Another machine, which shares nothing but the platform, recovers meanwhile: the sleeper changes nothing more."""
    program = trial.begin()
    program.send(signal.SIGSTOP)
    elsewhere = {"AIRBOSS_STATE": f"sqlite:{trial.workshop.folder}/elsewhere.sqlite"}
    trial.expect_recovery(changes=elsewhere)
    taken = {machine["id"]: machine["instance_id"] for machine in trial.workshop.state()["machines"]}
    program.send(signal.SIGCONT)
    outcome = program.end(PATIENCE)
    trial.expect_exit(outcome, 10, 11, 13)
    now = {machine["id"]: machine["instance_id"] for machine in trial.workshop.state()["machines"]}
    trial.expect(now == taken, "the sleeper changed machines after it was taken over")
    trial.expect_leases_to_end()
    trial.expect_whole()


# The world around it

@case(is_slow=True)
def token_revoked(trial):
    program = trial.begin()
    status, text = trial.workshop.call("/_simulator/tokens", "DELETE", {"token": TOKEN})
    if status != 204:
        raise Trouble(f"the token was not revoked: {status} {text}")
    outcome = program.end(PATIENCE)
    trial.notes["took_s"] = round(outcome.seconds, 1)
    trial.expect_exit(outcome, 11)
    trial.expect_way_on(outcome)
    trial.expect(TOKEN not in outcome.output, "the token is in what it printed")
    trial.expect_leases_to_end()
    refused = trial.workshop.run("recover", "production", limit=PATIENCE)
    trial.notes["recover_without_token_exit"] = refused.status
    trial.expect(refused.status in (11, 12, 69), f"recover with a revoked token ended with {refused.status}")
    trial.workshop.call("/_simulator/tokens", "POST", {"token": TOKEN})
    trial.expect_recovery()


@case()
def disk_full(trial):
    """The state store's file system fills up in mid-rollout."""
    workshop = trial.workshop
    for tool in ("unshare", "nsenter", "mount"):
        if not shutil.which(tool):
            raise Skipped(f"{tool} is not installed")
    workshop.begin("one")
    trial.before = final_digest(workshop.state())
    place = os.path.join(workshop.folder, "full")
    os.makedirs(place)
    holder = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size=8m none {place} && echo ready && exec sleep 600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=base_environment())
    try:
        if holder.stdout.readline().strip() != b"ready":
            raise Skipped("no mount of its own is permitted: " + holder.stderr.read().decode().strip())
        inside = f"/proc/{holder.pid}/root{place}"
        for name in os.listdir(os.path.dirname(workshop.state_file)):
            shutil.copy(os.path.join(os.path.dirname(workshop.state_file), name), inside)
        state = {"AIRBOSS_STATE": f"sqlite:{place}/state.sqlite"}
        wrapper = ("nsenter", "-t", str(holder.pid), "-m", "--wd=" + workshop.repository, "--")
        program = workshop.start(
            "deploy", "production", "--commit", workshop.commits["better"], "--reason", "On a full disk",
            changes=state, wrapper=wrapper)
        trial.until_rollout(program)
        with open(inside + "/filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass  # it is full
        since = time.monotonic()
        outcome = program.end(PATIENCE)
        trial.notes["made_safe_s"] = round(time.monotonic() - since, 2)
        trial.expect_exit(outcome, 11)
        trial.expect_way_on(outcome)
        trial.expect_leases_to_end()
        os.unlink(inside + "/filler")
        trial.expect_recovery(changes=state, wrapper=wrapper)
    finally:
        holder.kill()
        holder.wait()


@case()
def journal_locked(trial):
    """Another process takes the journal's lock in mid-rollout, and keeps it."""
    program = trial.begin()
    base = sqlite3.connect(trial.workshop.state_file, isolation_level=None, timeout=60)
    base.execute("BEGIN EXCLUSIVE")
    since = time.monotonic()
    outcome = program.end(PATIENCE)
    trial.notes["made_safe_s"] = round(time.monotonic() - since, 2)
    base.execute("ROLLBACK")
    base.close()
    trial.expect_exit(outcome, 11)
    trial.expect_way_on(outcome)
    trial.expect_leases_to_end()
    trial.expect_recovery()


# Time

def jump(trial, offset):
    """The clock of the machine that deploys jumps in mid-rollout, or between a kill and the recovery; that of the
    platform does not."""
    folder = trial.workshop.folder
    library, clock = os.path.join(folder, "shifted_clock.so"), os.path.join(folder, "clock")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shifted_clock.c")
    made = subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], capture_output=True, text=True)
    if made.returncode:
        raise Skipped(f"the clock's library was not made: {made.stderr.strip()}")

    def set_clock(seconds):
        with open(clock, "r+b" if os.path.exists(clock) else "wb") as file:
            file.write(struct.pack("=q", seconds))  # in place: the program has it mapped

    set_clock(0)
    faked = {"LD_PRELOAD": library, "SHIFTED_CLOCK": clock}
    program = trial.begin(changes=faked)
    set_clock(offset)
    outcome = program.end(PATIENCE)
    trial.expect_exit(outcome, 0, 10, 11)
    if outcome.status == 11:
        trial.expect_way_on(outcome)
    trial.expect_leases_to_end()
    trial.expect_whole()
    # One that was killed with its clock an hour off is recovered with the right time.
    program = trial.begin(changes=faked)
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    program.send(signal.SIGKILL)
    outcome = program.end()
    hours = {(now - datetime.timedelta(minutes=minutes)).strftime("T%H:") for minutes in (0, 3)}
    if not any(hour in outcome.output for hour in hours):
        raise Trouble("its clock was not off: " + outcome.tail(300))
    set_clock(0)
    trial.expect_recovery(changes=faked)


@case()
def clock_forwards(trial):
    jump(trial, 3600)


@case()
def clock_backwards(trial):
    jump(trial, -3600)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--airboss", required=True, help="the program")
    parser.add_argument("--case", action="append", choices=sorted(CASES), dest="cases")
    parser.add_argument("--quick", action="store_true", help="leave out what takes over a minute")
    parser.add_argument("--within", type=float, default=MADE_SAFE_WITHIN, help="seconds to make safe in")
    parser.add_argument("--boot-time", default="1500ms", help="how long a machine takes to start")
    parser.add_argument("--guests", choices=("process", "model"), default="process")
    parser.add_argument("--json", metavar="FILE", help="write every result there")
    parser.add_argument("--folder", help="work there, and leave what is made")
    options = parser.parse_args()
    folder = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="airboss-outcomes-"))
    os.makedirs(folder, exist_ok=True)
    results = []
    workshop = None
    end_with_everything()
    try:
        workshop = Workshop(
            os.path.abspath(options.airboss), os.path.join(folder, "workshop"), compile_service(folder),
            ["--guests", options.guests, "--boot-time", options.boot_time])
        workshop.prepare()
        for name, (function, is_slow) in CASES.items():
            if options.cases and name not in options.cases or options.quick and is_slow and not options.cases:
                continue
            results.append(attempt(name, function, workshop, options.within))
    except Trouble as trouble:
        print(f"trouble: {trouble}", file=sys.stderr)
        return 2
    finally:
        if workshop:
            workshop.close()
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"schema": 1, "cases": results}, file, indent=1)
    return 1 if any(result["violations"] for result in results) else 0


def attempt(name, function, workshop, within):
    trial = Trial(workshop, within)
    began = time.monotonic()
    result = {"case": name, "skipped": None}
    try:
        function(trial)
    except Skipped as skipped:
        result["skipped"] = str(skipped)
    except Trouble as trouble:
        trial.found.append(str(trouble))
    result.update(violations=trial.found, notes=trial.notes, seconds=round(time.monotonic() - began, 1))
    if result["skipped"]:
        print(f"{name}: skipped: {result['skipped']}", flush=True)
    else:
        notes = ", ".join(f"{key} {value}" for key, value in trial.notes.items())
        print(f"{name}: {'as promised' if not trial.found else 'NOT as promised'} ({notes})", flush=True)
        for sentence in trial.found:
            print("  " + sentence, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
