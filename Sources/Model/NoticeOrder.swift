// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A notice to be sent over one channel of the pipeline.
package struct NoticeOrder: Hashable, Sendable {
    package enum Channel: String, Codable, Sendable, CaseIterable {
        case summary, email, slack
        /// A webhook of the users' own, with signed JSON.
        case webhook
        /// The record of a deployment on GitHub.
        case deployment
        /// The incident issue on GitHub.
        case issue

        /// Whether people read what comes over it, rather than GitHub keeping a record by it.
        package var isForPeople: Bool {
            switch self {
            case .summary, .email, .slack, .webhook: true
            case .deployment, .issue: false
            }
        }
    }

    /// What is told.
    package enum Subject: Hashable, Sendable {
        case run(report: RunReport)
        case maintenance(notice: MaintenanceNotice)
    }

    package var channel: Channel
    /// 1 for the first try.
    package var attempt: Int
    /// Only put into the outbox, for the next run to send: an interrupted run has no time to wait for a server.
    package var isDeferred: Bool
    /// Whether the run is only about to change the app; nil is false. Nobody waits for such a notice, and it is not
    /// kept: what comes too late is not worth telling.
    package var isOpening: Bool?
    /// Of an opening, whether the run only waits for its turn so far; nil is false.
    package var isQueued: Bool?
    package var subject: Subject

    package init(
        channel: Channel, attempt: Int, isDeferred: Bool = false, isOpening: Bool? = nil, isQueued: Bool? = nil,
        report: RunReport
    ) {
        self.isOpening = isOpening
        self.isQueued = isQueued
        self.channel = channel
        self.attempt = attempt
        self.isDeferred = isDeferred
        subject = .run(report: report)
    }

    package init(channel: Channel, maintenance: MaintenanceNotice) {
        self.channel = channel
        attempt = 1
        isDeferred = false
        subject = .maintenance(notice: maintenance)
    }

    /// The run it tells of; nil where it is about something else.
    package var report: RunReport? {
        switch subject {
        case .run(let report): report
        case .maintenance: nil
        }
    }

    /// The pipeline it is about.
    package var pipeline: String {
        switch subject {
        case .run(let report): report.pipeline
        case .maintenance(let notice): notice.pipeline
        }
    }

    /// The run, or the announcement, it is about.
    package var run: RunID {
        switch subject {
        case .run(let report): report.run
        case .maintenance(let notice): notice.id
        }
    }

    /// In a word what it tells: a run's outcome, what it waits for, or what became of maintenance.
    package var tells: String {
        switch subject {
        case .run(let report): report.isUnderWay ? "approval_wanted" : report.outcome.rawValue
        case .maintenance(let notice): "maintenance_" + notice.deed.rawValue
        }
    }

    /// By which a receiver and the outbox drop doubles: one for each channel and each thing that is told of a run.
    package var key: String {
        switch subject {
        case .run(let report):
            "\(report.run.rawValue)/\(channel.rawValue)" + (report.isUnderWay ? "/approval-wanted" : "")
        case .maintenance(let notice): "\(notice.id.rawValue)/\(channel.rawValue)/\(notice.deed.rawValue)"
        }
    }
}

/// What is about maintenance is left alone by a version that does not know it: it finds no report.
extension NoticeOrder: Codable {
    private enum CodingKeys: String, CodingKey {
        case channel, attempt, isDeferred, isOpening, isQueued, report, maintenance
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        channel = try container.decode(Channel.self, forKey: .channel)
        attempt = try container.decode(Int.self, forKey: .attempt)
        isDeferred = try container.decode(Bool.self, forKey: .isDeferred)
        isOpening = try container.decodeIfPresent(Bool.self, forKey: .isOpening)
        isQueued = try container.decodeIfPresent(Bool.self, forKey: .isQueued)
        if let notice = try container.decodeIfPresent(MaintenanceNotice.self, forKey: .maintenance) {
            subject = .maintenance(notice: notice)
        } else {
            subject = .run(report: try container.decode(RunReport.self, forKey: .report))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(channel, forKey: .channel)
        try container.encode(attempt, forKey: .attempt)
        try container.encode(isDeferred, forKey: .isDeferred)
        try container.encodeIfPresent(isOpening, forKey: .isOpening)
        try container.encodeIfPresent(isQueued, forKey: .isQueued)
        switch subject {
        case .run(let report): try container.encode(report, forKey: .report)
        case .maintenance(let notice): try container.encode(notice, forKey: .maintenance)
        }
    }
}

/// What people are told of planned maintenance.
package struct MaintenanceNotice: Hashable, Codable, Sendable {
    package enum Deed: String, Codable, Sendable, CaseIterable {
        case announced, withdrawn, closed
    }

    package var deed: Deed
    /// The announcement's id.
    package var id: RunID
    package var pipeline: String
    package var app: AppName
    package var from: Timestamp
    package var to: Timestamp
    /// `from` and `to` on the clocks of the window's zone.
    package var fromWords: String
    package var toWords: String
    package var reason: String
    /// Who did it.
    package var actor: String
    /// When.
    package var at: Timestamp
    /// Whether deployments may begin in it although the window is closed otherwise.
    package var opensWindow: Bool
    package var url: String
    package var runURL: String

    package init(
        deed: Deed, id: RunID, pipeline: String, app: AppName, from: Timestamp, to: Timestamp, fromWords: String,
        toWords: String, reason: String, actor: String, at: Timestamp, opensWindow: Bool, url: String = "",
        runURL: String = ""
    ) {
        self.deed = deed
        self.id = id
        self.pipeline = pipeline
        self.app = app
        self.from = from
        self.to = to
        self.fromWords = fromWords
        self.toWords = toWords
        self.reason = reason
        self.actor = actor
        self.at = at
        self.opensWindow = opensWindow
        self.url = url
        self.runURL = runURL
    }
}

/// That a run needs people's approval.
package struct ApprovalWanted: Hashable, Codable, Sendable {
    /// How many people must approve.
    package var needed: Int
    /// What was found: who approved, and why others do not count.
    package var found: String
    /// What to do, as sentences or commands.
    package var how: [String]
    /// Until when the run waits for them; nil where it was refused.
    package var until: Timestamp?
    /// Whether nothing else is in the run's way.
    package var isAllThatLacks: Bool

    package init(
        needed: Int, found: String, how: [String], until: Timestamp? = nil, isAllThatLacks: Bool = true
    ) {
        self.needed = needed
        self.found = found
        self.how = how
        self.until = until
        self.isAllThatLacks = isAllThatLacks
    }
}

/// That a run was refused by the deployment window, and when it opens.
package struct WindowOpening: Hashable, Codable, Sendable {
    /// The rule that decided.
    package var rule: String
    /// Nil where it never opens again.
    package var opensAt: Timestamp?
    /// The same on the clocks of the window's zone.
    package var words: String?

    package init(rule: String, opensAt: Timestamp?, words: String? = nil) {
        self.rule = rule
        self.opensAt = opensAt
        self.words = words
    }
}
