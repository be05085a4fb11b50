// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What is told before the app changes.
extension RunMachine {
    /// Tells that the deploy begins, to the one channel that keeps a record of it, and goes on without waiting.
    func announce(_ agenda: inout Agenda) {
        guard request.settings.channels.contains(.deployment) else { return }
        let report = makeReport(Ending(outcome: .interrupted, headline: "under way"), agenda.now)
        agenda.performAndForget(
            .notify(notice: NoticeOrder(channel: .deployment, attempt: 1, isOpening: true, report: report)))
    }

    /// Asks people for their approval over every channel that they read, and goes on without waiting for any: for a
    /// run that waits. One that is refused for want of approvals tells it by its last notice.
    ///
    /// - Parameter wanted: with `until`, the time to which the run waits.
    package mutating func askForApproval(_ wanted: ApprovalWanted, _ agenda: inout Agenda) {
        var report = makeReport(
            Ending(outcome: .refused, headline: "waits for approval: \(wanted.found)", approval: wanted), agenda.now)
        report.nextSteps = wanted.how
        // A summary is written once, when the run ends.
        for channel in request.settings.channels where channel.isForPeople && channel != .summary {
            agenda.performAndForget(.notify(notice: NoticeOrder(channel: channel, attempt: 1, report: report)))
        }
    }
}
