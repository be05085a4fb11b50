// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

/// What is known of a run when it begins.
package struct RunHeader: Hashable, Codable, Sendable {
    package var run: RunID
    package var pipeline: String
    package var app: AppName
    /// `deploy`, `rollback`, `promote` or `recover`.
    package var kind: String
    package var actor: String
    package var reason: String
    package var host: String
    package var processID: Int32
    package var startedAt: Timestamp
    /// The version of the events' own format, by which a later Airboss knows how to read them.
    package var schema: Int

    package init(
        run: RunID, pipeline: String, app: AppName, kind: String, actor: String, reason: String, host: String,
        processID: Int32, startedAt: Timestamp, schema: Int
    ) {
        self.run = run
        self.pipeline = pipeline
        self.app = app
        self.kind = kind
        self.actor = actor
        self.reason = reason
        self.host = host
        self.processID = processID
        self.startedAt = startedAt
        self.schema = schema
    }
}

/// How a run ended.
package struct RunEnd: Hashable, Codable, Sendable {
    package var outcome: String
    package var exitCode: Int32
    package var finishedAt: Timestamp
    /// A JSON document.
    package var summary: Data

    package init(outcome: String, exitCode: Int32, finishedAt: Timestamp, summary: Data) {
        self.outcome = outcome
        self.exitCode = exitCode
        self.finishedAt = finishedAt
        self.summary = summary
    }
}

/// A run as the store has it.
package struct RunRecord: Hashable, Codable, Sendable {
    package var header: RunHeader
    /// Nil while the run goes on, and after a crash.
    package var end: RunEnd?
    /// The number of the last entry; 0 where there is none.
    package var lastSequence: Int64

    package init(header: RunHeader, end: RunEnd?, lastSequence: Int64) {
        self.header = header
        self.end = end
        self.lastSequence = lastSequence
    }
}

/// Which runs to list; what is nil does not narrow.
package struct RunFilter: Hashable, Sendable {
    package var pipeline: String?
    package var app: AppName?

    package init(pipeline: String? = nil, app: AppName? = nil) {
        self.pipeline = pipeline
        self.app = app
    }

    package static let all = RunFilter()
}

/// One event of a run.
package struct JournalEntry: Hashable, Codable, Sendable {
    /// 1 for the first.
    package var sequence: Int64
    package var kind: String
    /// A JSON document.
    package var payload: Data
    package var at: Timestamp

    package init(sequence: Int64, kind: String, payload: Data, at: Timestamp) {
        self.sequence = sequence
        self.kind = kind
        self.payload = payload
        self.at = at
    }
}

/// What a journal holds: the entries that can be relied on, and what is wrong with its end.
package struct JournalReading: Hashable, Sendable {
    package var entries: [JournalEntry]
    package var tornTail: TornTail?

    /// The end of a journal that cannot be relied on.
    package struct TornTail: Hashable, Sendable {
        /// The number of the first entry that is damaged or missing.
        package var sequence: Int64
        /// How many entries are damaged or missing.
        package var count: Int64
        /// For people, in one sentence without a full stop.
        package var detail: String
    }

    /// The number of the last entry that can be relied on; what the next append expects.
    package var lastSequence: Int64 { entries.last?.sequence ?? 0 }
}
