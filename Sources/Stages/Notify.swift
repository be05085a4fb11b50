// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The last stage: tells people. What fails here is recorded and never changes how the run ended.
package struct Notify: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `sending`, `done`.
        case waiting
        /// Next: `done`.
        case sending
        case done
    }

    /// Tries of one notice within the run; what still fails stays in the outbox for the next run.
    package static let maxAttempts = 3
    /// Before the second try; it doubles.
    package static let firstPause = Duration.seconds(1)

    /// How long an interrupted run waits for a record elsewhere to be closed; the outbox has it anyway.
    package static let hurriedPatience = Duration.seconds(2)

    private enum Route: Hashable, Codable, Sendable {
        case sent(order: NoticeOrder)
        case pause(order: NoticeOrder)
        /// Whoever has not answered by now is told by the next run.
        case deadline
    }

    package private(set) var state: State = .waiting
    package private(set) var delivered: [NoticeOrder.Channel] = []
    /// Channels whose notice waits for the next run.
    package private(set) var kept: [NoticeOrder.Channel] = []
    package private(set) var failures: [NoticeOrder.Channel: String] = [:]
    private var routes: [ActionID: Route] = [:]
    private var isHurried = false

    package init() {}

    package func awaits(_ action: ActionID) -> Bool { routes[action] != nil }

    /// - Parameters:
    ///   - deferred: channels whose notices are only kept, for the next run to send.
    ///   - isHurried: whether the rest is waited for as long as an interrupted run may wait, and not tried again.
    package mutating func begin(
        _ report: RunReport, over channels: [NoticeOrder.Channel], deferring deferred: [NoticeOrder.Channel] = [],
        isHurried: Bool = false, _ agenda: inout Agenda
    ) {
        state = .sending
        self.isHurried = isHurried
        for channel in channels {
            let isDeferred = deferred.contains(channel)
            send(NoticeOrder(channel: channel, attempt: 1, isDeferred: isDeferred, report: report), &agenda)
        }
        if isHurried, !routes.isEmpty {
            routes[agenda.perform(.wake(at: agenda.now + Notify.hurriedPatience))] = .deadline
        }
        settle()
    }

    /// Tells again what may not have been told: the key of a notice lets whoever gets it twice drop the second.
    package mutating func resume(_ report: RunReport, over channels: [NoticeOrder.Channel], _ agenda: inout Agenda) {
        routes = [:]
        state = .sending
        for channel in channels where !delivered.contains(channel) && !kept.contains(channel) {
            send(NoticeOrder(channel: channel, attempt: 1, report: report), &agenda)
        }
        settle()
    }

    /// Waits no longer; the outbox keeps what was not sent.
    package mutating func stop() {
        routes = [:]
        state = .done
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer, _ agenda: inout Agenda) throws(IllegalEvent) {
        guard let route = routes.removeValue(forKey: action) else {
            throw IllegalEvent(state: "\(state)", event: "an answer to \(action)")
        }
        switch (route, answer) {
        case (.sent(let order), .done):
            if order.isDeferred { kept.append(order.channel) } else { delivered.append(order.channel) }
            failures[order.channel] = nil
        case (.sent(let order), .failed(let failure)):
            failures[order.channel] = failure.text
            agenda.note(.warning(text: "notice by \(order.channel.rawValue) not sent: \(failure.text)"))
            // A GitHub that hangs was waited for by its client, for half a minute: the next run may find it better.
            let isHanging = failure.code == .timedOut && !order.channel.isForPeople
            let mayHelp = failure.code == .unavailable || failure.code == .timedOut || failure.code == .rateLimited
            if mayHelp, !isHanging, !isHurried, order.attempt < Notify.maxAttempts {
                var next = order
                next.attempt += 1
                let pause = Notify.firstPause * (1 << (order.attempt - 1))
                routes[agenda.perform(.wake(at: agenda.now + pause))] = .pause(order: next)
            }
        case (.pause(let order), .woke): send(order, &agenda)
        case (.deadline, .woke):
            for action in routes.keys.sorted() {
                if case .sent(let order) = routes[action] { kept.append(order.channel) }
                agenda.performAndForget(.cancel(action: action))
            }
            routes = [:]
        default: throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
        settle()
    }

    private mutating func send(_ order: NoticeOrder, _ agenda: inout Agenda) {
        routes[agenda.perform(.notify(notice: order))] = .sent(order: order)
    }

    private mutating func settle() {
        if routes.values.allSatisfy({ $0 == .deadline }) { (routes, state) = ([:], .done) }
    }
}
