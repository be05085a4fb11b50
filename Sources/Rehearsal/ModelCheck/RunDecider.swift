// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Stages

/// ``RunMachine`` with a world beside the platform in which everything works: the commit is there, the image is built,
/// the window is open, notices arrive. Its ledger is its own, for it shares nothing but the platform with others.
struct RunDecider: Decider {
    private var machine: RunMachine
    private var ledger: [ReleaseRecord]
    private let commit: Commit
    private let image: BuiltImage

    init(_ request: RunRequest, ledger: [ReleaseRecord], commit: Commit, image: BuiltImage) {
        machine = RunMachine(request)
        self.ledger = ledger
        self.commit = commit
        self.image = image
    }

    private enum CodingKeys: CodingKey { case machine, ledger }

    static var leavesWithoutAnswers: Bool { true }

    mutating func begin(at now: Timestamp) throws(IllegalEvent) -> [Action] { try give(.started, now) }

    mutating func hear(_ answer: Answer, to action: ActionID, at now: Timestamp) throws(IllegalEvent) -> [Action] {
        try give(.answered(action: action, answer: answer), now)
    }

    mutating func interrupt(at now: Timestamp) throws(IllegalEvent) -> [Action] {
        try give(.interrupted(signal: 2), now)
    }

    mutating func resume(at now: Timestamp) throws(IllegalEvent) -> [Action] { try give(.resumed, now) }

    private mutating func give(_ kind: RunEvent.Kind, _ now: Timestamp) throws(IllegalEvent) -> [Action] {
        guard !machine.isFinished else { return [] }
        let agenda = try machine.apply(RunEvent(at: now, kind: kind))
        return machine.isFinished ? [] : agenda.actions
    }

    mutating func knownAnswer(to effect: Effect) -> Answer? {
        switch effect {
        case .platform, .wake, .cancel: return nil
        case .git(.commit): return .commit(commit: commit)
        case .git(.isOnBranch): return .onBranch(isOn: true, reference: "refs/heads/main")
        case .git(.isClean): return .dirtyPaths(paths: [])
        case .git(.changes):
            return .changes(changes: ChangeSet(commits: [], paths: [], isTruncated: false, goesBack: false))
        case .github(.checks(let commit, let names)): return .checks(found: .allSuccessful(names, on: commit))
        case .git(.migrations): return .migrations(found: MigrationChanges(paths: [], commits: []))
        case .github(.pullRequests): return .pullRequests(list: [])
        case .github(.reviews): return .reviews(list: [])
        case .github(.workflowRun(let id)):
            return .workflowRun(
                run: WorkflowRun(id: id, commit: nil, status: "in_progress", startedAt: nil, approvals: []))
        case .image: return .image(image: image)
        case .probe: return .probe(result: ProbeResult(status: 200, elapsed: .milliseconds(20)))
        case .window: return .window(decision: WindowAnswer(isOpen: true, rule: "open"))
        case .notify: return .done
        case .approvals(.find): return .approvals(list: [])
        case .approvals(.check): return .approvalCheck(spentBy: [:], names: [:])
        case .approvals(.spend): return .done
        case .elsewhere: return .failed(failure: Failure(.unavailable, "there is no other app"))
        case .ledger(.history): return .history(history: history)
        case .ledger(.record(let release)):
            ledger.removeAll { $0.number == release.number }
            ledger.append(release)
            return .done
        case .ledger(.mark(let number, let state)):
            for index in ledger.indices where ledger[index].number == number { ledger[index].state = state }
            return .done
        }
    }

    private var history: ReleaseHistory {
        let newest = ledger.sorted { $0.number > $1.number }
        let verified = newest.filter { $0.state == .verified }
        return ReleaseHistory(
            current: verified.first, verified: Array(verified.dropFirst()),
            states: newest.map { .init(number: $0.number, state: $0.state, commit: $0.commit) })
    }

    var claim: Claim? {
        guard machine.isFinished else { return nil }
        guard let report = machine.report else {
            return Claim(isSuccess: false, changed: nil, text: "that somebody else goes on")
        }
        let text = "“\(report.headline)”"
        switch report.outcome {
        case .verified where machine.request.kind == .deploy || machine.request.kind == .promote:
            return Claim(isSuccess: true, changed: nil, image: image.digest, text: text)
        case .verified, .rolledBack:
            return Claim(isSuccess: true, changed: nil, image: machine.rollback?.target.digest, text: text)
        case .refused, .unavailable: return Claim(isSuccess: false, changed: [], text: text)
        case .interrupted:
            // Its headline is all that it says of single machines.
            let words = report.headline.split { " ,:;".contains($0) }.map(String.init)
            return Claim(isSuccess: false, changed: Set(words), text: text)
        case .needsHuman: return Claim(isSuccess: false, changed: nil, text: text)
        }
    }

    var doing: String { "\(machine.state)" }
}
