// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Apps with their secrets, releases and logs.
extension World {
    mutating func createApp(
        _ name: String, organization: String, caller: WorldCaller, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        try authorize(caller, for: organization)
        guard World.isAppName(name) else {
            throw WorldFailure(400, "name must be lower-case letters, digits and dashes, at most 63 of them")
        }
        guard apps[name] == nil else {
            throw WorldFailure(422, "Validation failed: Name has already been taken", code: "name_taken")
        }
        let app = WorldApp(id: ids.hexadecimal(digits: 12), name: name, organization: organization, createdAt: now)
        apps[name] = app
        return .app(app, machineCount: 0)
    }

    static func isAppName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        let allowed = bytes.allSatisfy { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D }
        return allowed && (1...63).contains(bytes.count) && bytes.first != 0x2D && bytes.last != 0x2D
    }

    func listApps(of organization: String?, caller: WorldCaller) -> [WorldApp] {
        apps.values
            .filter { organization == nil || organization == $0.organization }
            .filter { caller.organizations?.contains($0.organization) ?? true }
            .sorted { $0.name < $1.name }
    }

    mutating func deleteApp(_ app: WorldApp, at now: Timestamp) -> WorldAnswer {
        for id in app.machines {
            guard let machine = machines[id], machine.state != .destroyed else { continue }
            if machine.guest != .none { effects.append(.killGuest(machine: id)) }
            destroyed(id, at: now)
        }
        for id in app.machines { machines[id] = nil }
        apps[app.name] = nil
        return .done
    }

    // MARK: Secrets

    mutating func setSecrets(_ values: [String: String?], of app: String, at now: Timestamp) -> WorldAnswer {
        guard var changed = apps[app] else { return .done }
        var current = changed.secretValues(version: changed.secretsVersion)
        for (name, value) in values {
            guard let value else {
                changed.secrets[name] = nil
                current[name] = nil
                continue
            }
            let createdAt = changed.secrets[name]?.createdAt ?? now
            changed.secrets[name] = WorldApp.Secret(
                digest: World.digest(of: value), createdAt: createdAt, updatedAt: now)
            current[name] = value
        }
        changed.secretsVersion += 1
        changed.secretValues[changed.secretsVersion] = current
        changed.secretValues[changed.secretsVersion - WorldApp.maxRetainedSecretVersions] = nil
        apps[app] = changed
        return .secrets(changed.secrets, values: nil, version: changed.secretsVersion)
    }

    /// Sixteen hexadecimal digits that change with the value. Source: FNV-1a, 64 bits; the platform's own digest is
    /// not published, and nothing but equality may be read from it.
    static func digest(of value: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in value.utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        let text = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    // MARK: Releases

    /// Every status of a release record, and those that may follow it.
    static let nextReleaseStatuses: [String: Set<String>] = [
        "pending": ["running", "complete", "failed", "interrupted"],
        "running": ["complete", "failed", "interrupted"],
        "complete": [], "failed": [], "interrupted": [],
    ]

    mutating func createRelease(
        in app: String, image: String, strategy: String, definition: JSONValue?, caller: WorldCaller, at now: Timestamp
    ) -> WorldAnswer {
        let release = WorldRelease(
            id: "rel_" + ids.hexadecimal(digits: 16),
            version: (apps[app]?.releases.last?.version ?? 0) + 1,
            status: "running",
            strategy: strategy,
            image: image,
            user: caller.name,
            createdAt: now,
            definition: definition
        )
        apps[app]?.releases.append(release)
        return .release(release, isNew: true)
    }

    mutating func updateRelease(
        _ id: String, status: String?, metadata: JSONValue?, caller: WorldCaller
    ) throws(WorldFailure) -> WorldAnswer {
        for name in apps.keys.sorted() {
            guard let app = apps[name], let index = app.releases.firstIndex(where: { $0.id == id }) else { continue }
            try authorize(caller, for: app.organization)
            var release = app.releases[index]
            if let status {
                guard World.nextReleaseStatuses[status] != nil else {
                    throw WorldFailure(400, "invalid release status: \(status)")
                }
                // Said twice is said once: a lost answer may be asked for again.
                let isNext = World.nextReleaseStatuses[release.status]?.contains(status) ?? false
                guard isNext || status == release.status else {
                    throw WorldFailure(422, "release \(id) is \(release.status) and can't become \(status)")
                }
                release.status = status
            }
            if let metadata { release.metadata = metadata }
            apps[name]?.releases[index] = release
            return .release(release, isNew: false)
        }
        throw WorldFailure(404, "release not found")
    }

    // MARK: Logs

    mutating func log(_ line: String, isError: Bool, machine id: String, at now: Timestamp) {
        guard let machine = machines[id] else { return }
        apps[machine.app]?.log.append(
            line, level: isError ? "error" : "info", machine: id, region: machine.region, at: now)
    }
}
