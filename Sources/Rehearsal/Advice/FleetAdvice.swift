// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import PipelineFiles
internal import Rollouts
internal import Stages

/// Rules on how many machines there are and how many may be missing.
extension AdviceContext {
    func floorNeverRolls() -> [Advice] {
        servingGroups.filter { $0.machines > 0 && floor(over: $0.machines) >= $0.machines }.map { group, machines in
            let floor = floor(over: machines)
            return Advice(
                .floorNeverRolls, .blocks, at: place("deploy.serving_floor"),
                "a serving floor of \(floor) never lets a machine of the group “\(group)” be changed: "
                    + (machines == 1 ? "it has 1" : "it has \(machines)"),
                suggestion: "lower serving_floor to at most \(machines - 1), or run at least \(floor + 1) machines",
                evidence: seen(tally.count(.refused), "the deploy was refused"))
        }
    }

    func floorWithoutReserve() -> [Advice] {
        let stalled = tally.endings.reduce(0) { sum, entry in
            entry.key.outcome != .refused && entry.key.words.contains("serving floor") ? sum + entry.value.runs : sum
        }
        guard stalled > 0 else { return [] }
        return servingGroups.filter { $0.machines > 1 && floor(over: $0.machines) == $0.machines - 1 }.map {
            group, machines in
            let floor = floor(over: machines)
            return Advice(
                .floorWithoutReserve, .risk, at: place("deploy.serving_floor"),
                "with one machine of the group “\(group)” lost, the floor of \(floor) lets no other be changed",
                suggestion: floor > 1
                    ? "lower serving_floor to \(floor - 1), or run \(machines + 1) machines"
                    : "run \(machines + 1) machines (fly scale count), so that one may be missing",
                evidence: seen(stalled, "the floor left nothing to change"))
        }
    }

    func floorOfZero() -> [Advice] {
        guard subject.request.settings.servingFloor == 0 else { return [] }
        return servingGroups.filter { $0.machines > 1 }.map { group, machines in
            Advice(
                .floorOfZero, .risk, at: place("deploy.serving_floor"),
                "a serving floor of 0 lets all \(machines) machines of the group “\(group)” be away at once",
                suggestion: "set serving_floor to 1 or more, or remove it: the default keeps one",
                evidence: seenDown())
        }
    }

    func singleMachine() -> [Advice] {
        servingGroups.filter { $0.machines == 1 }.map { group, _ in
            Advice(
                .singleMachine, .risk, at: place("deploy.machines"),
                "the group “\(group)” has one machine: every deploy is an outage while it is replaced",
                suggestion: flyToml.volumeName(of: group) == nil
                    ? "run two (fly scale count 2), and set deploy.machines to 2"
                    : "its volume ties it to one machine: keep deploys to quiet hours with window.open",
                evidence: seenDown())
        }
    }

    private func seenDown() -> String {
        guard let median = tally.downtimes.median, let longest = tally.downtimes.longest else { return "" }
        return seen(
            tally.downtimes.count,
            "nothing served for a while: median \(Words.time(median)), worst \(Words.time(longest))")
    }

    func tooManyAtOnce() -> [Advice] {
        servingGroups.compactMap { group, machines in
            let floor = floor(over: machines)
            let width = subject.request.settings.maxUnavailable.machines(of: machines)
            // One machine is changed at a time at least; more than there are is no promise anybody could miss.
            guard machines > floor, machines > 1, width > 1, machines - width < floor else { return nil }
            return Advice(
                .tooManyAtOnce, .note, at: place("deploy.max_unavailable"),
                "max_unavailable lets \(width) machines of the group “\(group)” be away, "
                    + "the serving floor of \(floor) only \(machines - floor): deploys are slower than the file says",
                suggestion: "set max_unavailable to \(machines - floor), or lower serving_floor to "
                    + "\(max(0, machines - width))")
        }
    }

    func volumesCannotMove() -> [Advice] {
        let seen = seen(.hostDown, "with a host down")
        guard !seen.isEmpty else { return [] }
        return flyToml.groups.filter { flyToml.volumeName(of: $0) != nil }.map { group in
            Advice(
                .volumesCannotMove, .note, at: places.place(of: "mounts"),
                "machines of the group “\(group)” live where their volumes are: with that host down they are away",
                suggestion: "keep a second machine with a volume of its own on another host", evidence: seen)
        }
    }
}
