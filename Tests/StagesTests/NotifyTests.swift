// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

@Suite struct NotifyTests {
    private static let report = RunReport(
        run: Sample.run, kind: .deploy, pipeline: "production", app: Sample.app, outcome: .verified, exitCode: 0,
        headline: "done", actor: "ada", reason: "because", startedAt: Sample.start, finishedAt: Sample.start)

    @Test(
        arguments: NoticeOrder.Channel.allCases,
        [
            (.unavailable, 3), (.rateLimited, 3), (.timedOut, 3), (.refused, 1), (.unauthorized, 1), (.invalid, 1),
        ] as [(code: Failure.Code, attempts: Int)])
    func `what may pass is tried three times, but a GitHub that hangs once`(
        channel: NoticeOrder.Channel, expected: (code: Failure.Code, attempts: Int)
    ) throws {
        var notify = Notify()
        var agenda = Agenda(now: Sample.start, nextAction: 1)
        notify.begin(Self.report, over: [channel], &agenda)
        var attempts = 0
        while notify.state == .sending {
            let action = try #require(agenda.actions.last)
            agenda = Agenda(now: agenda.now, nextAction: agenda.nextAction)
            if case .notify(let order) = action.effect {
                attempts += 1
                #expect(order.attempt == attempts)
                try notify.handle(action.id, .failed(failure: Failure(expected.code, "no")), &agenda)
            } else {
                try notify.handle(action.id, .woke, &agenda)
            }
        }
        let isHanging = expected.code == .timedOut && !channel.isForPeople
        #expect(attempts == (isHanging ? 1 : expected.attempts))
        #expect(notify.failures.keys.contains(channel) && notify.delivered.isEmpty)
    }
}
