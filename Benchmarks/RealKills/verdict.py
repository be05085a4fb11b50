# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
"""What has to hold once a killed run was recovered."""
import time

from workshop import LEASE_SECONDS, MACHINES

# Calls that change nothing; a lease is taken to look, and given back.
READING = {
    "acquireLease", "releaseLease",
    "getApp", "listApps", "listMachines", "getMachine", "waitMachine", "listVersions", "listEvents", "getLease",
    "getMetadata", "listSecrets", "listReleases", "currentRelease", "readLogs",
}
OPEN = {"pending", "running"}


class Expectation:
    """The app as it was before the run, the digest the run ends with when left alone, and the runs that were killed."""

    def __init__(self, before, after_digest, dead_runs):
        self.machines = {machine["id"] for machine in before["machines"]}
        self.before_digest = final_digest(before)
        self.after_digest = after_digest
        self.dead_runs = {outcome.run for outcome in dead_runs if outcome.run}

    def name(self, digest):
        if digest is None:
            return "none"
        if digest == self.before_digest:
            return "before"
        return "after" if digest == self.after_digest else "other"


def managed(state):
    return [machine for machine in state["machines"] if machine["metadata"].get("fly_platform_version") == "v2"]


def final_digest(state):
    """The digest all managed machines share; None where there are none, or they differ."""
    digests = {machine["digest"] for machine in managed(state)}
    return digests.pop() if len(digests) == 1 else None


def mutations(state):
    return sum(count for call, count in state["calls"].items() if call not in READING)


def violations(workshop, recovered, expected, exits=(0, 10)):
    """Everything that is wrong, as sentences; runs `recover` a second time."""
    found = []
    if recovered.status not in exits:
        found.append(f"recover ended with {recovered.status}: {recovered.headline}")
    state = workshop.state()
    found += of_fleet(state, expected, recovered)
    found += of_leases(workshop, state)
    open_releases = [release for release in state["releases"] if release["status"] in OPEN]
    if open_releases:
        found.append(f"open platform releases: {open_releases}")
    if state["machines"]:
        status = workshop.visit()
        if status != 200:
            found.append(f"the app answers {status}")
    found += of_second(workshop)
    return found


def of_fleet(state, expected, recovered):
    found = []
    machines = managed(state)
    if len(machines) != len(state["machines"]):
        found.append("a machine is not managed")
    allowed = {MACHINES} if expected.machines else {0, MACHINES}
    if len(machines) not in allowed:
        found.append(f"{len(machines)} machines, of {sorted(allowed)}")
    if not expected.machines <= {machine["id"] for machine in machines}:
        found.append("a machine of before is gone")
    for key, what in (("digest", "digests"), ("image", "images")):
        values = {machine[key] for machine in machines}
        if len(values) > 1:
            found.append(f"{len(values)} {what}: {sorted(map(str, values))}")
    releases = {machine["metadata"].get("airboss_release") for machine in machines}
    if len(releases) > 1:
        found.append(f"{len(releases)} releases: {sorted(map(str, releases))}")
    digest = final_digest(state)
    if machines and digest is not None and expected.name(digest) == "other":
        found.append(f"a digest of neither before nor after: {digest}")
    if recovered.status == 10 and digest != expected.before_digest:
        found.append("rolled back, it says, but the release of before is not there")
    for machine in machines:
        if machine["state"] != "started" or not machine["routable"] or machine["cordoned"]:
            found.append(f"machine {machine['id']} is {machine['state']}, routable: {machine['routable']}")
        if machine["metadata"].get("airboss_run") in expected.dead_runs and machine["digest"] != digest:
            found.append(f"machine {machine['id']} carries the dead run's mark outside the final fleet")
    return found


def of_leases(workshop, state):
    """Leases may outlive a run by their time to live, and no longer."""
    deadline = time.monotonic() + LEASE_SECONDS + 5
    while any(machine["leased"] for machine in state["machines"]):
        if time.monotonic() > deadline:
            return ["a lease outlived the run by more than its time to live"]
        time.sleep(0.5)
        state = workshop.state()
    return []


def of_second(workshop):
    before = workshop.state()
    again = workshop.run("recover", "production", limit=120)
    after = workshop.state()
    found = []
    if again.status != 0:
        found.append(f"a second recover ended with {again.status}: {again.headline or again.tail(300)}")
    if "nothing to recover" not in again.output.lower():
        found.append(f"a second recover does not say that there is nothing to recover: {again.tail(300)}")
    if mutations(before) != mutations(after):
        found.append("a second recover changed something")
    return found
