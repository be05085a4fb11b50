#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""Kills the real program at every request of a run, over HTTP with kill -9, and checks what `airboss recover` makes
of it.

For every scenario the run's requests are counted once. Then, for the n-th request and each of three points (killed
before it is forwarded; forwarded and applied, the answer not delivered; the answer delivered and killed at once), the
local Fly and the state store are put back to where the run began, the program runs through a proxy that kills it
there, and `airboss recover` has to clear up: warm, with the journal, and cold, with nothing but the platform.

    Benchmarks/RealKills/real_kills.py --airboss .build/release/airboss            every kill of every scenario
    …  --sample 40 --seed 7                                                        some of them, drawn
    …  --pairs 50                                                                  and kills of the recovery as well
    …  --only rolling:applied:cold:31                                              one of them, again
"""
import argparse
import json
import os
import queue
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
import traceback

from recording_proxy import POINTS
from verdict import Expectation, final_digest, violations
from workshop import LEASE_SECONDS, Program, Trouble, Visitors, Workshop, compile_service, end_with_everything

MODES = ("warm", "cold")
# A recovery that had to outwait a dead run's lease takes about this long or longer.
LEASE_WAIT_SECONDS = 25
# The request with which a run begins to change machines: it leases or makes the first of them.
FIRST_CHANGE = "POST /v1/apps/harbour/machines"


class Scenario:
    def __init__(self, name, begins_from, commit, kind, exits, serves):
        self.name = name
        self.begins_from = begins_from
        self.commit = commit
        self.kind = kind
        self.exits = exits  # of the run, left alone
        self.serves = serves  # whether the app answers throughout: old and new release are both good

    def command(self, workshop):
        if self.kind == "rollback":
            return ("rollback", "production", "--reason", "Back, please")
        return ("deploy", "production", "--commit", workshop.commits[self.commit], "--reason", f"Try {self.commit}")


SCENARIOS = [
    Scenario("rolling", "one", "better", "deploy", 0, True),
    Scenario("verify", "one", "broken", "deploy", 10, False),
    Scenario("rollback", "two", None, "rollback", 0, True),
    Scenario("first", "empty", "good", "deploy", 0, False),
]


class Kill:
    """One trial: where the run is killed, what is left to recover from, and where the recovery is killed, if it is."""

    def __init__(self, scenario, point, mode, number, second=None):
        self.scenario = scenario
        self.point = point
        self.mode = mode
        self.number = number
        self.second = second  # (request number, point)

    def __str__(self):
        name = f"{self.scenario.name}:{self.point}:{self.mode}:{self.number}"
        return name + (f"+{self.second[1]}:{self.second[0]}" if self.second else "")


def try_kill(workshop, kill, expectations):
    """Does it; returns what happened as a JSON object."""
    scenario, proxy = kill.scenario, workshop.proxy
    workshop.begin(scenario.begins_from)
    before = workshop.state()
    visitors = Visitors(workshop) if scenario.serves else None
    proxy.reset(kill.number, kill.point)
    program = workshop.start(*scenario.command(workshop))
    proxy.aim(program.process)
    dead = program.end(180)
    result = {
        "kill": str(kill), "scenario": scenario.name, "point": kill.point, "mode": kill.mode, "request": kill.number,
        "at": proxy.killed_label, "reached": proxy.killed.is_set() and dead.status == -9, "violations": [],
    }
    if kill.mode == "cold":
        workshop.lose_journal()
    runs = [dead]
    if kill.second:
        number, point = kill.second
        proxy.reset(number, point)
        program = workshop.start("recover", "production")
        proxy.aim(program.process)
        dead = program.end(240)
        result["second_reached"] = proxy.killed.is_set() and dead.status == -9
        result["second_at"] = proxy.killed_label
        runs.append(dead)
        if kill.mode == "cold":
            workshop.lose_journal()
    proxy.reset()
    recovered = workshop.run("recover", "production", limit=240)
    result.update(exit=recovered.status, seconds=round(recovered.seconds, 2), requests=proxy.count)
    unanswered = visitors.stop() if visitors else 0
    expected = Expectation(before, expectations[scenario.name], runs)
    found = violations(workshop, recovered, expected)
    if unanswered:
        found.append(f"the app did not answer {unanswered} of {visitors.asked} visits")
    result["digest"] = expected.name(final_digest(workshop.state()))
    if found:
        result["violations"] = found
        result["run_output"] = dead.tail()
        result["recover_output"] = recovered.tail(4000)
        result["state"] = workshop.state()
    return result


class Crew:
    """Workers, each with a workshop of its own, that try kills until none is left."""

    def __init__(self, options, folder, service):
        self.options = options
        self.folder = folder
        self.service = service
        self.tasks = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.results = []
        self.troubles = []
        self.expectations = {}
        self.total = 0
        self.began = time.monotonic()

    def workshop(self, number):
        return Workshop(
            self.options.airboss, os.path.join(self.folder, f"worker-{number}"), self.service,
            ["--guests", self.options.guests])

    def count(self, scenarios):
        """Runs every scenario once without a kill, to know its requests and its result."""
        workshop = self.workshop(0)
        workshop.prepare()
        counts = {}
        for scenario in scenarios:
            workshop.begin(scenario.begins_from)
            workshop.proxy.reset()
            done = workshop.run(*scenario.command(workshop))
            if done.status != scenario.exits:
                raise Trouble(f"{scenario.name}, left alone, ended with {done.status}: {done.output}")
            counts[scenario.name] = list(workshop.proxy.log)
            self.expectations[scenario.name] = final_digest(workshop.state())
            print(f"{scenario.name}: {len(workshop.proxy.log)} requests in {done.seconds:.1f} s", flush=True)
        return workshop, counts

    def work(self, workshop, number):
        try:
            if workshop is None:
                workshop = self.workshop(number)
                workshop.prepare()
            while True:
                try:
                    kill = self.tasks.get_nowait()
                except queue.Empty:
                    return
                self.note(self.attempt(workshop, kill))
        except Exception:  # whatever it is, the other workers go on and it is told at the end
            with self.lock:
                self.troubles.append(f"worker {number}: {traceback.format_exc()}")
        finally:
            if workshop:
                workshop.close()

    def attempt(self, workshop, kill):
        try:
            return try_kill(workshop, kill, self.expectations)
        except (Trouble, OSError):
            # The surroundings, not the program: once more, and then it is trouble.
            return try_kill(workshop, kill, self.expectations)

    def note(self, result):
        with self.lock:
            self.results.append(result)
            done = len(self.results)
            if result["violations"]:
                print(f"\n{result['kill']} at {result['at']}: exit {result['exit']}", *result["violations"],
                      sep="\n  ", flush=True)
            if done % 25 == 0 or done == self.total:
                bad = sum(1 for one in self.results if one["violations"])
                print(f"{done} of {self.total} kills, {bad} with violations, "
                      f"{time.monotonic() - self.began:.0f} s", flush=True)

    def run(self, kills, first_workshop):
        self.total = len(kills)
        for kill in kills:
            self.tasks.put(kill)
        count = max(1, min(self.options.jobs, len(kills)))
        threads = [
            threading.Thread(target=self.work, args=(first_workshop if number == 0 else None, number))
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def plan(options, counts, rng):
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    kills = []
    for name, requests in counts.items():
        for number in range(1, len(requests) + 1):
            for point in POINTS:
                for mode in options.modes:
                    kills.append(Kill(scenarios[name], point, mode, number))
    if options.only:
        wanted = set(options.only)
        return [kill for kill in kills if str(kill) in wanted]
    if options.sample is not None and options.sample < len(kills):
        kills = rng.sample(kills, options.sample)
    for _ in range(options.pairs):
        name = rng.choice(list(counts))
        # A recovery is only long enough to be killed where there is something to recover from.
        changes = [number for number, label in enumerate(counts[name], 1) if label.startswith(FIRST_CHANGE)]
        first = rng.randint(changes[0], len(counts[name]))
        second = (rng.randint(1, options.recover_requests), rng.choice(POINTS))
        kills.append(Kill(scenarios[name], rng.choice(POINTS), rng.choice(options.modes), first, second))
    # Long and short ones mixed, so that the workers end together.
    rng.shuffle(kills)
    return kills


def summary(results):
    rows = []
    for name in dict.fromkeys(scenario.name for scenario in SCENARIOS):
        for mode in MODES:
            some = [one for one in results if one["scenario"] == name and one["mode"] == mode]
            if not some:
                continue
            seconds = sorted(one["seconds"] for one in some)
            waited = [value for value in seconds if value >= LEASE_WAIT_SECONDS]
            exits = {}
            for one in some:
                exits[str(one["exit"])] = exits.get(str(one["exit"]), 0) + 1
            rows.append({
                "scenario": name, "mode": mode, "kills": len(some),
                "reached": sum(1 for one in some if one["reached"]),
                "second_kills_reached": sum(1 for one in some if one.get("second_reached")),
                "violating_kills": sum(1 for one in some if one["violations"]), "exits": exits,
                "recover_median_s": round(statistics.median(seconds), 2), "recover_max_s": seconds[-1],
                "waited_for_a_lease": len(waited),
            })
    return rows


def show(rows):
    form = "{:<10} {:<5} {:>6} {:>8} {:>7} {:>10}  {:<22} {:>9} {:>8} {:>7}"
    print(form.format("scenario", "mode", "kills", "reached", "pairs", "violations", "exits of recover", "median s",
                      "worst s", "leases"))
    for row in rows:
        exits = " ".join(f"{code}×{count}" for code, count in sorted(row["exits"].items()))
        print(form.format(
            row["scenario"], row["mode"], row["kills"], row["reached"], row["second_kills_reached"],
            row["violating_kills"], exits, row["recover_median_s"], row["recover_max_s"], row["waited_for_a_lease"]))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--airboss", required=True, help="the program to kill")
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--mode", action="append", choices=MODES, dest="modes")
    parser.add_argument("--sample", type=int, help="try so many single kills, drawn from all")
    parser.add_argument("--pairs", type=int, default=0, help="try so many kills of the run and then of its recovery")
    parser.add_argument("--recover-requests", type=int, default=20, help="the latest request a recovery is killed at")
    parser.add_argument("--only", action="append", metavar="KILL", help="try this kill, as it was named")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1) + 2, help="local Flys at once")
    parser.add_argument("--guests", choices=("process", "model"), default="process")
    parser.add_argument("--json", metavar="FILE", help="write every result there")
    parser.add_argument("--folder", help="work there, and leave what is made")
    options = parser.parse_args()
    options.airboss = os.path.abspath(options.airboss)
    options.modes = options.modes or list(MODES)
    return options


def main():
    options = arguments()
    folder = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="airboss-real-kills-"))
    os.makedirs(folder, exist_ok=True)
    began = time.monotonic()
    end_with_everything()
    try:
        if Program([options.airboss, "recover", "--help"], dict(os.environ), "/", os.path.join(folder, "help")).end(
                60).status != 0:
            raise Trouble(f"{options.airboss} has no recover")
        crew = Crew(options, folder, compile_service(folder))
        wanted = [scenario for scenario in SCENARIOS
                  if (not options.scenario or scenario.name in options.scenario)
                  # Guests without processes are always well.
                  and (options.guests == "process" or scenario.name != "verify")]
        workshop, counts = crew.count(wanted)
        kills = plan(options, counts, random.Random(options.seed))
        crew.run(kills, workshop)
    except Trouble as trouble:
        print(f"trouble: {trouble}", file=sys.stderr)
        return 2
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)
    rows = summary(crew.results)
    print()
    show(rows)
    bad = [one for one in crew.results if one["violations"]]
    seconds = time.monotonic() - began
    print(f"\n{len(crew.results)} of {crew.total} kills tried, {len(bad)} with violations, in {seconds:.0f} s; "
          f"a dead run's lease lasts {LEASE_SECONDS} s; seed {options.seed}")
    for trouble in crew.troubles:
        print(trouble, file=sys.stderr)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({
                "schema": 1, "seed": options.seed, "planned": crew.total, "tried": len(crew.results),
                "violating_kills": len(bad), "seconds": round(seconds, 1), "scenarios": rows,
                "requests": {name: len(log) for name, log in counts.items()}, "kills": crew.results,
            }, file, indent=1)
    if crew.troubles or len(crew.results) < crew.total:
        return 2
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
