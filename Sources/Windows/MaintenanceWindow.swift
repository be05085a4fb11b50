// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a pipeline asks of planned maintenance.
package struct MaintenancePolicy: Hashable, Codable, Sendable {
    /// How long before its beginning it must be announced.
    package var notice: Duration
    /// How long it may last.
    package var longest: Duration

    package init(notice: Duration = .seconds(24 * 3600), longest: Duration = .seconds(8 * 3600)) {
        self.notice = notice
        self.longest = longest
    }
}

/// A time in which deployments may begin although the window is closed, because it was announced.
package struct MaintenanceWindow: Hashable, Codable, Sendable {
    /// The record by which it was announced.
    package var id: RunID
    package var from: Timestamp
    /// Excluded; earlier than announced once it was closed.
    package var to: Timestamp
    /// Untrusted text for people.
    package var reason: String
    package var announcedAt: Timestamp
    package var announcedBy: String

    package init(
        id: RunID, from: Timestamp, to: Timestamp, reason: String, announcedAt: Timestamp, announcedBy: String
    ) {
        self.id = id
        self.from = from
        self.to = to
        self.reason = reason
        self.announcedAt = announcedAt
        self.announcedBy = announcedBy
    }

    /// `maintenance: New database (announced 2026-11-20T10:00:00Z by grace)`.
    package var rule: String {
        let announced = Timestamp(secondsSinceEpoch: announcedAt.secondsSinceEpoch)
        return "maintenance: \(reason) (announced \(announced) by \(announcedBy))"
    }

    /// How long before its beginning it was announced; negative where that came later.
    package var notice: Duration { from - announcedAt }

    /// Throws `maintenanceRefused` where the policy does not allow it; `rules` are those of the window.
    package func validate(_ policy: MaintenancePolicy, rules: TimeZoneRules) throws(WindowError) {
        guard from < to else {
            throw WindowError(
                .maintenanceRefused, "The maintenance ends, \(rules.described(to)), before it begins",
                hint: "exchange --from and --to")
        }
        guard to - from <= policy.longest else {
            throw WindowError(
                .maintenanceRefused,
                "The maintenance would last \((to - from).words); \(policy.longest.words) are allowed at most",
                hint: "shorten it, or raise window.maintenance.longest")
        }
        guard notice >= policy.notice else {
            // In whole five minutes, so that there is time to write it.
            let earliest = Timestamp(
                secondsSinceEpoch: ((announcedAt + policy.notice).secondsSinceEpoch / 300 + 2) * 300)
            throw WindowError(
                .maintenanceRefused,
                "Maintenance must be announced \(policy.notice.words) before it begins; "
                    + (notice > .zero ? "this would be \(notice.words)" : "this would begin in the past"),
                hint: "early enough is \(rules.described(earliest)): --from \(rules.written(earliest))\n"
                    + "in an emergency: airboss deploy --emergency --approved-by WHO")
        }
    }
}

/// One planned maintenance from its announcement to its close: announce, execute, smoke, close. Pure: what happened
/// comes in as events.
package struct Maintenance: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `executing`, `withdrawn`, `lapsed`.
        case announced
        /// A run works in it. Next: `smoked`, `failed`.
        case executing(run: RunID)
        /// The last run's release, or the one it went back to, passed health and smoke. Next: `executing`, `closed`.
        case smoked(run: RunID)
        /// The last run left something that did not. Next: `executing`.
        case failed(run: RunID)
        /// Ended by a person, or by its time after a good smoke.
        case closed
        case withdrawn
        /// Its time passed, and nothing was done.
        case lapsed

        /// `announced`, as JSON has it.
        package var name: String {
            switch self {
            case .announced: "announced"
            case .executing: "executing"
            case .smoked: "smoked"
            case .failed: "failed"
            case .closed: "closed"
            case .withdrawn: "withdrawn"
            case .lapsed: "lapsed"
            }
        }
    }

    package enum Event: Hashable, Codable, Sendable {
        case began(run: RunID)
        /// `isHealthy`: what serves passed its verification, be it the new release or the one that was restored.
        case ended(run: RunID, isHealthy: Bool)
        case close
        case withdraw
        case timeOver
    }

    package let window: MaintenanceWindow
    package private(set) var state: State = .announced
    /// When a person closed or withdrew it.
    package private(set) var endedAt: Timestamp?

    package init(_ window: MaintenanceWindow) {
        self.window = window
    }

    /// Throws where the event can't follow; then nothing has changed.
    package mutating func apply(_ event: Event, at time: Timestamp) throws(IllegalEvent) {
        switch (state, event) {
        case (.announced, .began(let run)), (.smoked, .began(let run)), (.failed, .began(let run)):
            state = .executing(run: run)
        // One run follows the other, for an app has one at a time: the former one died.
        case (.executing, .began(let run)): state = .executing(run: run)
        case (.executing(let current), .ended(let run, let isHealthy)) where current == run:
            state = isHealthy ? .smoked(run: run) : .failed(run: run)
        // The end of a run that another one has followed.
        case (.executing, .ended), (.smoked, .ended), (.failed, .ended): break
        case (.smoked, .close):
            (state, endedAt) = (.closed, time)
        case (.announced, .withdraw):
            (state, endedAt) = (.withdrawn, time)
        case (.announced, .timeOver): state = .lapsed
        case (.smoked, .timeOver): state = .closed
        // It is still at work, or left something to mend: neither is over with the time.
        case (.executing, .timeOver), (.failed, .timeOver): break
        case (.closed, .timeOver), (.withdrawn, .timeOver), (.lapsed, .timeOver): break
        case (.announced, .ended), (.announced, .close), (.executing, .close), (.executing, .withdraw),
            (.smoked, .withdraw), (.failed, .close), (.failed, .withdraw), (.closed, .began), (.closed, .ended),
            (.closed, .close), (.closed, .withdraw), (.withdrawn, .began), (.withdrawn, .ended), (.withdrawn, .close),
            (.withdrawn, .withdraw), (.lapsed, .began), (.lapsed, .ended), (.lapsed, .close), (.lapsed, .withdraw):
            throw IllegalEvent(state: state.name, event: event.name)
        }
    }

    /// The time it opens now: what was announced, up to where it was closed; nil where it opens nothing.
    package var opens: MaintenanceWindow? {
        var window = window
        switch state {
        case .announced, .executing, .smoked, .failed: return window
        case .closed:
            window.to = min(window.to, max(window.from, endedAt ?? window.to))
            return window.from < window.to ? window : nil
        // What lapsed was open once: the past is told as it was.
        case .lapsed: return window
        case .withdrawn: return nil
        }
    }
}

extension Maintenance.Event {
    /// What it is called in a message.
    fileprivate var name: String {
        switch self {
        case .began: "the beginning of a run"
        case .ended: "the end of a run"
        case .close: "close"
        case .withdraw: "withdraw"
        case .timeOver: "the end of its time"
        }
    }
}
