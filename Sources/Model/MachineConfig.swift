// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A machine's whole config as the platform holds it; what Airboss does not know is kept.
package struct MachineConfig: Hashable, Codable, Sendable {
    package var json: JSONValue

    package init(_ json: JSONValue) { self.json = json }

    package init(from decoder: any Decoder) throws { json = try JSONValue(from: decoder) }

    package func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }

    /// The image to run, as a reference.
    package var image: String? {
        get { json["image"]?.string }
        set { json["image"] = newValue.map(JSONValue.string) }
    }

    package var metadata: [String: String] {
        get { (json["metadata"]?.object ?? [:]).compactMapValues(\.string) }
        set { json["metadata"] = .object(newValue.mapValues(JSONValue.string)) }
    }

    /// One value of ``metadata``, without making all of them.
    package func metadata(_ key: String) -> String? { json["metadata"]?[key]?.string }

    /// The process group the machine serves; `app` where its metadata names none.
    package var processGroup: ProcessGroup {
        ProcessGroup(metadata("fly_process_group") ?? metadata("process_group") ?? "app")
    }

    /// Whether traffic can reach a machine with this config.
    package var hasServices: Bool { !(json["services"]?.array ?? []).isEmpty }

    /// The checks whose results decide whether the machine serves: top-level ones and those of services.
    package var checkCount: Int {
        let topLevel = json["checks"]?.object?.count ?? 0
        let ofServices = (json["services"]?.array ?? []).map { $0["checks"]?.array?.count ?? 0 }
        return ofServices.reduce(topLevel, +)
    }

    /// Metadata keys that say which run and release wrote the config, not what it is.
    package static let bookkeepingKeys: Set<String> = [
        "fly_release_id", "fly_release_version", "fly_flyctl_version", "airboss_run", "airboss_operation",
        "airboss_release", "airboss_kind", "airboss_replaces", "airboss_created",
    ]

    /// The config without ``bookkeepingKeys`` and tickets: equal substance means that there is nothing to change.
    package var substance: JSONValue {
        var copy = json
        copy["metadata"] = .object(
            (json["metadata"]?.object ?? [:]).filter {
                !MachineConfig.bookkeepingKeys.contains($0.key) && !$0.key.hasPrefix(Bookkeeping.ticketPrefix)
            })
        return copy
    }

    /// The tickets that runs which wait for the app have written into the metadata; garbled ones too.
    package var tickets: [String: String] {
        guard let metadata = json["metadata"]?.object,
            metadata.keys.contains(where: { $0.hasPrefix(Bookkeeping.ticketPrefix) })
        else { return [:] }
        return metadata.filter { $0.key.hasPrefix(Bookkeeping.ticketPrefix) }.compactMapValues(\.string)
    }

    /// The config as it is recorded, compared and sent: who waits for the app is no part of it.
    package var withoutTickets: MachineConfig {
        guard let metadata = json["metadata"]?.object,
            metadata.keys.contains(where: { $0.hasPrefix(Bookkeeping.ticketPrefix) })
        else { return self }
        var copy = self
        copy.json["metadata"] = .object(metadata.filter { !$0.key.hasPrefix(Bookkeeping.ticketPrefix) })
        return copy
    }

    /// A short text that is equal for configs of equal ``substance``.
    package var fingerprint: String { substance.fingerprint }
}
