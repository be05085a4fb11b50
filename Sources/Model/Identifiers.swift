// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A name that must not be mixed up with a name of another kind; encodes as a bare string.
package protocol Identifier: RawRepresentable, Hashable, Codable, Comparable, Sendable, CustomStringConvertible,
    ExpressibleByStringLiteral, CodingKeyRepresentable
where RawValue == String {
    init(rawValue: String)
}

extension Identifier {
    package init(_ text: String) { self.init(rawValue: text) }
    package init(stringLiteral value: String) { self.init(rawValue: value) }
    package var description: String { rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A Fly app's name.
package struct AppName: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
}

/// A Fly machine's id; the same through all its versions.
package struct MachineID: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
}

/// One version of a machine's config (`instance_id` in Fly's API); a new one with every update.
package struct InstanceID: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
}

/// The nonce that proves a lease is ours.
package struct LeaseNonce: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
}

/// A process group of fly.toml; `app` where none is named.
package struct ProcessGroup: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
}

/// One execution of a pipeline: a ULID, so that runs sort by their start.
package struct RunID: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
}

/// One mutation of one run, written into what it changes so that it can be recognised afterwards.
package struct OperationID: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }
}

/// A git commit's full object id, in hexadecimal.
package struct CommitID: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    /// The first ten digits, for people.
    package var short: String { String(rawValue.prefix(10)) }
}

/// A content digest of the OCI image specification: `sha256:` and 64 hexadecimal digits.
package struct ImageDigest: Identifier {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    /// The first twelve digits of the hash, for people.
    package var short: String { String(rawValue.drop { $0 != ":" }.dropFirst().prefix(12)) }
}

/// The number of a release of one app, as Fly counts them (`v71`).
package struct ReleaseNumber: Hashable, Codable, Comparable, Sendable, CustomStringConvertible {
    package let value: Int
    package init(_ value: Int) { self.value = value }

    package init(from decoder: any Decoder) throws {
        value = try decoder.singleValueContainer().decode(Int.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }

    package var description: String { "v\(value)" }
    package static func < (left: ReleaseNumber, right: ReleaseNumber) -> Bool { left.value < right.value }

    /// Reads `71` or `v71`.
    package init?(parsing text: String) {
        guard let value = Int(text.hasPrefix("v") ? String(text.dropFirst()) : text), value >= 0 else { return nil }
        self.value = value
    }
}
