// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension ModelCheck {
    /// The shortest way to a broken law, step by step in people's words.
    package struct Story: Hashable, Codable, Sendable {
        /// The law that is broken at the end.
        package var law: Law
        /// What happens, one sentence each.
        package var steps: [String]
        /// How the law is broken.
        package var end: String

        /// The story as numbered lines.
        package var text: String {
            let lines = steps.enumerated().map { "\($0.offset + 1). \($0.element)" }
            return (lines + ["Broken: \(law.text).", "        \(end)."]).joined(separator: "\n")
        }

        /// Lets the choices happen again, one after the other, and tells of each.
        static func telling<D>(_ start: Situation<D>, _ choices: [Int], _ broken: BrokenLaw) -> Story {
            var story = Story(law: broken.law, steps: [], end: broken.what)
            var situation = start
            for index in choices {
                let choice = situation.choices()[index]
                situation = story.tell(choice, from: situation)
            }
            return story
        }

        /// Adds what a choice does, and returns what comes of it.
        mutating func tell<D>(_ choice: Situation<D>.Choice, from before: Situation<D>) -> Situation<D> {
            var after = before
            _ = after.take(choice)
            steps.append(Storyteller(before: before, after: after).sentence(choice))
            return after
        }
    }
}

/// Puts one step into words.
private struct Storyteller<D: Decider> {
    let before: Situation<D>
    let after: Situation<D>

    func sentence(_ choice: Situation<D>.Choice) -> String {
        switch choice {
        case .begin(let index): who(index) + " begins" + consequences(index)
        case .arrive(let index): arrival(before.messages[index], index)
        case .deliver(let index):
            heard(before.messages[index], before.messages[index].answer)
                + consequences(before.messages[index].sender)
        case .giveUp(let index):
            who(before.messages[index].sender)
                + " waits no longer for the answer to \(name(before.messages[index].call))"
                + consequences(before.messages[index].sender)
        case .unreachable(let index):
            "FAULT: \(name(before.messages[index].call)) of \(who(before.messages[index].sender)) can't be sent"
                + consequences(before.messages[index].sender)
        case .wake(let index, _): who(index) + " is woken by its clock" + consequences(index)
        case .boot(let index):
            "\(before.platform.machines[index].shown.id) "
                + (after.platform.machines[index].isHealthy ? "passes its checks" : "starts")
        case .time: passing()
        case .awaken(let index): who(index) + " wakes up again"
        case .resume(let index): who(index) + " is gone on with from its journal" + consequences(index)
        case .delay(let index):
            "FAULT: \(name(before.messages[index].call)) of \(who(before.messages[index].sender)) is slow"
        case .duplicate(let index):
            "FAULT: \(name(before.messages[index].call)) of \(who(before.messages[index].sender)) is delivered twice"
        case .stale(let index):
            "FAULT: \(name(before.messages[index].call)) of \(who(before.messages[index].sender)) is answered with "
                + "what was there one change ago" + consequences(before.messages[index].sender)
        case .slowBoot(let index): "FAULT: \(before.platform.machines[index].shown.id) is slow to start"
        case .badBoot(let index): "FAULT: the new process on \(before.platform.machines[index].shown.id) exits"
        case .sleep(let index): "FAULT: \(who(index)) is suspended"
        case .crash(let index): "FAULT: \(who(index)) crashes"
        case .interrupt(let index): "FAULT: \(who(index)) is interrupted" + consequences(index)
        }
    }

    private func who(_ index: Int) -> String { before.name(index) }

    private func passing() -> String {
        let seconds = (after.now - before.now).inSeconds
        let lapsed = before.platform.machines.indices.filter { index in
            before.platform.live(index, at: before.now) != nil && before.platform.live(index, at: after.now) == nil
        }
        let names = lapsed.map { "the lease of \(before.platform.machines[$0].shown.id) expires" }
        return ([seconds == 1 ? "1 s passes" : "\(short(seconds)) s pass"] + names).joined(separator: "; ")
    }

    private func short(_ seconds: Double) -> String {
        seconds == seconds.rounded() ? String(Int(seconds)) : String(seconds)
    }

    private func arrival(_ message: NetworkMessage, _ index: Int) -> String {
        var platform = before.platform
        var broken: BrokenLaw?
        let answer = platform.answer(message.call, from: message.sender, at: before.now, broken: &broken)
        let late = message.isGhost ? "a late copy of " : ""
        let text =
            "the platform gets \(late)\(name(message.call)) from \(who(message.sender)): "
            + outcome(answer ?? .waitTimedOut, message.sender)
        let isHeard =
            !message.isGhost && !after.messages.contains { $0.sender == message.sender && $0.action == message.action }
        return isHeard ? text + consequences(message.sender) : text
    }

    private func heard(_ message: NetworkMessage, _ answer: Answer?) -> String {
        who(message.sender) + " hears the answer to \(name(message.call)): "
            + (answer.map { outcome($0, message.sender) } ?? "nothing")
    }

    /// What the participant asked for in this step, and whether it ended.
    private func consequences(_ index: Int) -> String {
        let known = Set(before.messages.filter { $0.sender == index }.compactMap(\.action))
        let sent = after.messages.filter { message in
            message.sender == index && message.action.map { !known.contains($0) } ?? false
        }
        var text = sent.map { "; it sends \(name($0.call))" }.joined()
        if before.participants[index].condition != .finished, after.participants[index].condition == .finished,
            let claim = after.participants[index].decider.claim
        {
            text += "; it ends and claims \(claim.text)"
        }
        return text
    }

    private func name(_ call: PlatformCall) -> String {
        switch call {
        case .app: "the question for the app"
        case .machines: "the list of machines"
        case .observe: "the poll"
        case .machine(let id): "the look at \(id)"
        case .acquireLease(let id, _): "the request for the lease of \(id)"
        case .refreshLease(let id, _, _): "the refresh of the lease of \(id)"
        case .releaseLease(let id, _): "the release of the lease of \(id)"
        case .update(let id, _, let version, let nonce, _):
            "the update of \(id)" + (version.rawValue.isEmpty ? " (whatever its version)" : " (from \(version))")
                + (nonce.rawValue.isEmpty ? " without a lease" : "")
        case .create(let name, _, _, _, _): "the create of \(name)"
        case .wait(let id, let version, _, _): "the wait for \(version) of \(id) to start"
        case .destroy(let id, _): "the destruction of \(id)"
        case .versions(let id): "the list of versions of \(id)"
        case .lease(let id): "the question who holds \(id)"
        case .metadata(let id, _): "the look at who waits at \(id)"
        case .setMetadata(let id, _, _): "a ticket at \(id)"
        case .removeMetadata(let id, _): "the end of a ticket at \(id)"
        case .cordon(let id, _): "the cordon of \(id)"
        case .uncordon(let id, _): "the uncordon of \(id)"
        case .secretNames: "the list of secrets"
        case .createRelease: "the new release record"
        case .finishRelease: "the end of the release record"
        case .releases: "the list of releases"
        }
    }

    private func outcome(_ answer: Answer, _ sender: Int) -> String {
        switch answer {
        case .done: return "done"
        case .failed(let failure):
            guard let end = failure.leaseExpiresAt else { return failure.text }
            return "\(failure.text) for \(short((end - before.now).inSeconds)) s more"
        case .machines(let list): return list.map(state).joined(separator: ", ")
        case .observations(let list):
            return list.map { "\($0.instance) is \($0.state)" }.joined(separator: ", ")
        case .machine(let machine), .created(let machine, _): return state(machine)
        case .lease(let lease):
            return "it is \(who(sender))'s for \(short((lease.expiresAt - before.now).inSeconds)) s"
        case .waitTimedOut: return "the time of the wait is over"
        case .leaseHolder(let holder): return holder == nil ? "nobody" : "somebody"
        case .app, .names, .platformRelease, .platformReleases, .versions, .metadata, .commit, .onBranch, .dirtyPaths,
            .changes,
            .checks, .pullRequests, .image, .probe, .window, .history, .approvals, .elsewhere,
            .approvalCheck, .reviews, .workflowRun, .migrations, .woke:
            return "answered"
        }
    }

    private func state(_ machine: FleetMachine) -> String { "\(machine.instance) is \(machine.state)" }
}
