// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension FlyToml {
    /// The whole config for a machine of a group, laid onto the config the machine has now.
    ///
    /// What fly.toml describes is rebuilt; the guest is kept unless `[[vm]]` says otherwise; what fly.toml cannot
    /// describe (image, schedule, DNS, standbys, unknown fields) is kept. Source: flyctl's flattening of fly.toml.
    package func machineConfig(for group: ProcessGroup, onto existing: MachineConfig? = nil) -> MachineConfig {
        var json = existing?.json ?? [:]
        json["metrics"] = metrics.first { isFor(group, $0) }?.json
        setInit(&json, group)
        let services = services(of: group)
        json["services"] = services.isEmpty ? nil : .array(services)
        setStandbys(&json, hasServices: !services.isEmpty)
        json["checks"] = checks(of: group)
        json["env"] = environment(of: group, json)
        json["statics"] = statics.isEmpty ? nil : .array(statics)
        setMounts(&json, group)
        json["stop_config"] = stopConfig
        let files = files.filter { isFor(group, $0) }.map(\.json)
        json["files"] = files.isEmpty ? nil : .array(files)
        if let guest = guest(of: group) { json["guest"] = guest }
        // flyctl lets the last section win.
        json["restart"] = restarts.last { isFor(group, $0) }?.json
        var config = MachineConfig(json)
        var metadata = config.metadata
        metadata["fly_platform_version"] = "v2"
        metadata["fly_process_group"] = group.rawValue
        config.metadata = metadata
        return config
    }

    /// Why a machine cannot get the group's config in place, for a person; nil where it can. Volumes are attached when
    /// a machine is made, and never exchanged.
    package func mountConflict(for group: ProcessGroup, with existing: MachineConfig) -> String? {
        let attached = existing.json["mounts"]?.array?.first
        let attachedName = attached?["name"]?.string ?? ""
        switch (attached, volumeName(of: group)) {
        case (nil, nil):
            return nil
        case (nil, let wanted?):
            return "the machine has no volume and fly.toml wants “\(wanted)”; a volume cannot be added to a machine"
        case (_?, nil):
            return "the machine has the volume “\(attachedName)” and fly.toml wants none"
        case (_?, let wanted?):
            guard !attachedName.isEmpty, attachedName != wanted else { return nil }
            return "the machine has the volume “\(attachedName)” and fly.toml wants “\(wanted)”"
        }
    }

    private func setInit(_ json: inout JSONValue, _ group: ProcessGroup) {
        func strings(_ words: [String]?) -> JSONValue? {
            words.flatMap { $0.isEmpty ? nil : .array($0.map(JSONValue.string)) }
        }
        var settings = json["init"] ?? [:]
        settings["cmd"] = strings(processes[group]) ?? strings(command)
        settings["entrypoint"] = strings(entrypoint)
        settings["exec"] = strings(exec)
        settings["swap_size_mb"] = swapMegabytes.map { .integer(Int64($0)) }
        json["init"] = settings
    }

    /// A standby that takes traffic is none any more.
    private func setStandbys(_ json: inout JSONValue, hasServices: Bool) {
        if hasServices { json["standbys"] = nil }
    }

    private func environment(of group: ProcessGroup, _ json: JSONValue) -> JSONValue {
        var result = environment
        result["FLY_PROCESS_GROUP"] = group.rawValue
        if let primaryRegion { result["PRIMARY_REGION"] = primaryRegion }
        let standbys = (json["standbys"]?.array ?? []).compactMap(\.string)
        // The platform's tools tell a standby through this; it is a property of the machine, not of the file.
        if !standbys.isEmpty { result["FLY_STANDBY_FOR"] = standbys.joined(separator: ",") }
        return .object(result.mapValues(JSONValue.string))
    }

    private func checks(of group: ProcessGroup) -> JSONValue? {
        var result: [String: JSONValue] = [:]
        for check in checks where isFor(group, check.piece) {
            var json = check.piece.json
            if json["port"] == nil, let httpService, isFor(group, httpService) {
                json["port"] = httpService.json["internal_port"]
            }
            result[check.name] = json
        }
        return result.isEmpty ? nil : .object(result)
    }

    private func setMounts(_ json: inout JSONValue, _ group: ProcessGroup) {
        let attached = json["mounts"]?.array?.first
        var wanted = mounts.filter { isFor(group, $0) }.map(\.json)
        json["mounts"] = nil
        guard var first = wanted.first else { return }
        if let attached {
            let name = attached["name"]?.string ?? ""
            let extends = ["extend_threshold_percent", "add_size_gb", "size_gb_limit"].map { ($0, first[$0]) }
            if name.isEmpty || name == first["name"]?.string && attached["path"] == first["path"] {
                // Keep the volume as it is attached, with all that the platform says of it.
                first = attached
            } else if name == first["name"]?.string {
                first["volume"] = attached["volume"]
            }
            for (key, value) in extends { first[key] = value }
        }
        wanted[0] = first
        json["mounts"] = .array(wanted)
    }

    private var stopConfig: JSONValue? {
        guard killSignal != nil || killTimeout != nil else { return nil }
        var result: JSONValue = [:]
        result["signal"] = killSignal.map(JSONValue.string)
        result["timeout"] = killTimeout.map(JSONValue.string)
        return result
    }

    /// The section that names the group; else the first that names none, which is for all groups.
    private func guest(of group: ProcessGroup) -> JSONValue? {
        (guests.last { $0.processes.contains(group.rawValue) } ?? guests.first { $0.processes.isEmpty })?.json
    }
}
