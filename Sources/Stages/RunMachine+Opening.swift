// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts

/// What is told before the app changes.
extension RunMachine {
    /// Tells that the deploy begins, to the one channel that keeps a record of it, and goes on without waiting.
    mutating func announce(_ agenda: inout Agenda) {
        guard isRecorded else { return }
        announced = .underWay
        open(isQueued: false, &agenda)
    }

    /// Tells once, to the same channel, that the deploy waits for its turn: for people, for CI, or for the app.
    mutating func announceWaiting(_ agenda: inout Agenda) {
        guard isRecorded, announced == nil, request.kind == .deploy || request.kind == .promote, isWaitingForTurn
        else { return }
        announced = .queued
        open(isQueued: true, &agenda)
    }

    /// What the end of the run must close.
    var isAnnounced: Bool { announced != nil }

    private var isRecorded: Bool { request.settings.channels.contains(.deployment) }

    private var isWaitingForTurn: Bool {
        switch state {
        case .preValidation: preValidation.isWaitingForOthers
        case .claiming: claim.isQueueing
        case .waiting, .diagnosing, .window, .build, .confirming, .deploy, .verify, .rollback, .settling, .reaping,
            .leaving, .notify, .finished:
            false
        }
    }

    private func open(isQueued: Bool, _ agenda: inout Agenda) {
        let report = makeReport(Ending(outcome: .interrupted, headline: "under way"), agenda.now)
        agenda.performAndForget(
            .notify(
                notice: NoticeOrder(
                    channel: .deployment, attempt: 1, isOpening: true, isQueued: isQueued ? true : nil,
                    report: report)))
    }

    /// Asks people once for their approval, over every channel that they read, and goes on without waiting for any: for
    /// a run that waits. One that is refused for want of approvals tells it by its last notice.
    mutating func askForApproval(_ agenda: inout Agenda) {
        guard !hasAskedPeople, case .preValidation = state, let wanted = preValidation.search?.wanted else { return }
        hasAskedPeople = true
        var report = makeReport(
            Ending(outcome: .refused, headline: "waits for approval: \(wanted.found)", approval: wanted), agenda.now)
        report.nextSteps = wanted.how
        // A summary is written once, when the run ends.
        for channel in request.settings.channels where channel.isForPeople && channel != .summary {
            agenda.performAndForget(.notify(notice: NoticeOrder(channel: channel, attempt: 1, report: report)))
        }
    }
}
