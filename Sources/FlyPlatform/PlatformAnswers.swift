// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A release as the platform records it.
package struct PlatformRelease: Hashable, Codable, Sendable {
    package var id: String
    package var version: ReleaseNumber
    /// `pending`, `running`, `complete`, `failed`, `interrupted`; the platform's word.
    package var status: String
    /// Empty where the platform does not say.
    package var image: String
    package var strategy: String
    package var user: String
    package var createdAt: Timestamp?

    package init(
        id: String, version: ReleaseNumber, status: String, image: String, strategy: String, user: String,
        createdAt: Timestamp?
    ) {
        self.id = id
        self.version = version
        self.status = status
        self.image = image
        self.strategy = strategy
        self.user = user
        self.createdAt = createdAt
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        guard let id = json["id"]?.identifierText else {
            throw UnexpectedShape(message: "“id” is missing in a release")
        }
        guard let version = json["version"]?.integer, version >= 0 else {
            throw UnexpectedShape(message: "“version” is missing in a release, or no number")
        }
        self.init(
            id: id, version: ReleaseNumber(version), status: json["status"]?.string ?? "",
            image: json["image_ref"]?.string ?? json["image"]?.string ?? "",
            strategy: json["strategy"]?.string ?? "", user: json["user"]?.string ?? "",
            createdAt: json["created_at"]?.string.flatMap { Timestamp($0) })
    }
}

/// How a rollout changes the fleet, in the words of the platform's release records.
package enum PlatformStrategy: String, Hashable, Codable, Sendable, CaseIterable {
    case rolling = "ROLLING"
    case canary = "CANARY"
    case bluegreen = "BLUEGREEN"
    case immediate = "IMMEDIATE"
}

/// The states a release record can be brought to.
package enum PlatformReleaseStatus: String, Hashable, Codable, Sendable, CaseIterable {
    case running, complete, failed, interrupted
}

/// Some lines of an app's log, and where to go on.
package struct LogPage: Hashable, Codable, Sendable {
    package struct Line: Hashable, Codable, Sendable {
        package var at: Timestamp?
        /// Untrusted text, as the app wrote it.
        package var message: String
        package var level: String
        package var instance: String
        package var region: String

        package init(at: Timestamp?, message: String, level: String, instance: String, region: String) {
            self.at = at
            self.message = message
            self.level = level
            self.instance = instance
            self.region = region
        }
    }

    package var lines: [Line]
    /// Nil where the platform gives none: the same page comes again without it.
    package var nextToken: String?

    package init(lines: [Line], nextToken: String?) {
        self.lines = lines
        self.nextToken = nextToken
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        guard let data = json["data"] else { throw UnexpectedShape(message: "“data” is missing in the answer") }
        var lines: [Line] = []
        for entry in try data.elements("the log") {
            let attributes = entry["attributes"]
            lines.append(
                Line(
                    at: attributes?["timestamp"]?.string.flatMap { Timestamp($0) },
                    message: attributes?["message"]?.string ?? "", level: attributes?["level"]?.string ?? "",
                    instance: attributes?["instance"]?.string ?? "", region: attributes?["region"]?.string ?? ""))
        }
        self.init(lines: lines, nextToken: json["meta"]?["next_token"]?.identifierText)
    }
}
