// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What is told before the app changes.
extension RunMachine {
    /// Tells that the deploy begins, to the one channel that keeps a record of it, and goes on without waiting.
    func announce(_ agenda: inout Agenda) {
        guard request.settings.channels.contains(.deployment) else { return }
        let report = makeReport(Ending(outcome: .interrupted, headline: "under way"), agenda.now)
        agenda.performAndForget(
            .notify(notice: NoticeOrder(channel: .deployment, attempt: 1, isOpening: true, report: report)))
    }
}
