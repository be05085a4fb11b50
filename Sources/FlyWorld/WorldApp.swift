// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// An app with what belongs to it except its machines.
package struct WorldApp: Hashable, Codable, Sendable {
    /// Lines kept per app.
    package static let maxRetainedLogLines = 2000
    /// Secret versions kept, so that a machine boots again with the version it was made with.
    package static let maxRetainedSecretVersions = 100
    /// Destroyed machines that can still be looked at.
    package static let maxRetainedDestroyedMachines = 100

    package var id: String
    package var name: String
    package var organization: String
    package var createdAt: Timestamp
    /// Oldest first, destroyed ones included.
    package var machines: [String] = []
    package var secrets: [String: Secret] = [:]
    /// Counts up with every change; 0 where there never was a secret.
    package var secretsVersion = 0
    /// The values by version.
    var secretValues: [Int: [String: String]] = [:]
    /// Oldest first.
    package var releases: [WorldRelease] = []
    package var log = LogRing()

    package struct Secret: Hashable, Codable, Sendable {
        package var digest: String
        package var createdAt: Timestamp
        package var updatedAt: Timestamp
    }

    package func secretValues(version: Int) -> [String: String] {
        secretValues[version] ?? secretValues[secretsVersion] ?? [:]
    }
}

/// A release record as the platform API keeps it.
package struct WorldRelease: Hashable, Codable, Sendable {
    package var id: String
    package var version: Int
    /// `running`, `complete`, `failed` or `interrupted`.
    package var status: String
    package var strategy: String
    package var image: String
    package var user: String
    package var createdAt: Timestamp
    package var definition: JSONValue?
    package var metadata: JSONValue?
}

/// The last lines of an app's log; older ones are dropped.
package struct LogRing: Hashable, Codable, Sendable {
    package struct Line: Hashable, Codable, Sendable {
        /// Counts up through the app's whole life; the next one to read is the API's `next_token`.
        package var number: Int
        package var at: Timestamp
        package var text: String
        /// `info` or `error`.
        package var level: String
        package var machine: String
        package var region: String
    }

    package private(set) var lines: [Line] = []
    package private(set) var nextNumber = 0

    package init() {}

    mutating func append(_ text: String, level: String, machine: String, region: String, at now: Timestamp) {
        // Trimmed in steps, so that a line costs a constant time in the long run.
        if lines.count >= 2 * WorldApp.maxRetainedLogLines {
            lines.removeFirst(lines.count - WorldApp.maxRetainedLogLines)
        }
        lines.append(
            Line(number: nextNumber, at: now, text: text, level: level, machine: machine, region: region))
        nextNumber += 1
    }

    /// Up to `limit` lines from number `start` on; without a start, the newest ones. Oldest first.
    package func page(from start: Int?, limit: Int, where matches: (Line) -> Bool) -> (lines: [Line], next: Int) {
        guard let start else {
            return (Array(lines.filter(matches).suffix(limit)), nextNumber)
        }
        var found: [Line] = []
        for line in lines where line.number >= start && matches(line) {
            if found.count == limit { return (found, found[limit - 1].number + 1) }
            found.append(line)
        }
        return (found, nextNumber)
    }
}
