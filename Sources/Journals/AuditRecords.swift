// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model

/// A record in its place in a chain.
package struct SealedAuditRecord: Hashable, Sendable {
    package var chain: String
    /// 1 for the first.
    package var sequence: Int64
    /// The record as canonical JSON, with `chain`, `sequence` and `previous`, the hash of the record before it.
    package var document: Data
    /// SHA-256 of ``document``, in hexadecimal.
    package var hash: String

    /// The record's text, which is one line.
    package var line: String { String(decoding: document, as: UTF8.self) }

    /// The record's members; empty where it is no JSON, which only a damaged store has.
    package var json: JSONValue {
        // Verifying says what is wrong with such a record; whoever lists records still sees the others.
        (try? JSONValue(parsing: document)) ?? [:]
    }
}

/// Which records to list; what is nil does not narrow.
package struct AuditFilter: Hashable, Sendable {
    package var pipeline: String?
    package var run: RunID?
    package var since: Timestamp?

    package init(pipeline: String? = nil, run: RunID? = nil, since: Timestamp? = nil) {
        self.pipeline = pipeline
        self.run = run
        self.since = since
    }
}

/// Where a chain ends. Noted down elsewhere, it proves later that nothing before it was changed or removed.
package struct AuditHead: Hashable, Sendable, CustomStringConvertible {
    package var chain: String
    /// How many records the chain has.
    package var sequence: Int64
    /// The hash of its last record, in hexadecimal.
    package var hash: String

    package init(chain: String, sequence: Int64, hash: String) {
        self.chain = chain
        self.sequence = sequence
        self.hash = hash
    }

    /// Reads ``description``; nil for any other text.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let sequence = Int64(parts[1]), sequence >= 0, !parts[0].isEmpty,
            parts[2].count == 64, parts[2].allSatisfy({ $0.isHexDigit })
        else { return nil }
        self.init(chain: parts[0], sequence: sequence, hash: parts[2].lowercased())
    }

    package var description: String { "\(chain):\(sequence):\(hash)" }

    package var json: JSONValue {
        ["chain": .string(chain), "sequence": .integer(sequence), "hash": .string(hash)]
    }
}

/// What verifying the audit found.
package struct AuditVerdict: Hashable, Sendable {
    /// Something that is not as it was recorded.
    package struct Finding: Hashable, Sendable {
        package var chain: String
        /// The record concerned; nil where it is the chain as a whole.
        package var sequence: Int64?
        /// For people, in a sentence without a full stop.
        package var detail: String
    }

    package var records: Int64 = 0
    package var heads: [AuditHead] = []
    /// At most ``maxFindings``; empty for a whole record.
    package var findings: [Finding] = []

    /// Findings beyond this many are not listed.
    package static let maxFindings = 200

    mutating func add(_ found: [Finding]) {
        findings += found.prefix(AuditVerdict.maxFindings - findings.count)
    }

    package var isWhole: Bool { findings.isEmpty }
}
