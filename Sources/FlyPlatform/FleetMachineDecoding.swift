// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

extension FleetMachine {
    /// Reads the platform's machine object; what is not needed is ignored, and the config is kept whole.
    init(answer json: JSONValue) throws(UnexpectedShape) {
        let id = try json.requiredString("id")
        let state: String
        do {
            state = try json.requiredString("state")
        } catch {
            throw UnexpectedShape(message: "machine \(FlyError.oneLine(id, limit: 40)): \(error.message)")
        }
        // While its host is away the platform rebuilds what it can of the config: enough to recognise the machine by.
        let whole = json["config"]?.ifObject
        let config = whole ?? json["incomplete_config"]?.ifObject ?? .object([:])
        self.init(
            id: MachineID(id), name: json["name"]?.string ?? "", state: state, region: json["region"]?.string ?? "",
            instance: InstanceID(json["instance_id"]?.string ?? ""), config: MachineConfig(config),
            isConfigComplete: whole != nil,
            imageDigest: json["image_ref"]?["digest"]?.string.flatMap {
                ImageReference.isDigest($0) ? ImageDigest($0) : nil
            },
            checks: (json["checks"]?.array ?? []).compactMap(Check.init(answer:)),
            events: (json["events"]?.array ?? []).compactMap(Event.init(answer:)),
            hostStatus: json["host_status"]?.string ?? (whole == nil ? "unknown" : "ok"),
            isCordoned: json["cordoned"]?.bool ?? false, privateAddress: json["private_ip"]?.string ?? "",
            createdAt: json["created_at"]?.string.flatMap { Timestamp($0) })
    }
}

extension FleetMachine.Check {
    /// Nil for the doubles the platform adds for flyctl's older blue-green deployments. Source: fly-go,
    /// `RemoveCompatChecks`.
    fileprivate init?(answer json: JSONValue) {
        let name = json["name"]?.string ?? ""
        guard !name.hasPrefix("bg_deployments_compat") else { return nil }
        self.init(
            name: name, status: json["status"]?.string ?? "", output: json["output"]?.string ?? "",
            updatedAt: json["updated_at"]?.string.flatMap { Timestamp($0) })
    }
}

extension FleetMachine.Event {
    /// Nil for what is no event. The monitor's account of an exit is preferred, and an exit without a code is one
    /// with code 0, which Go leaves out. Source: fly-go, `MachineRequest.GetExitCode`.
    fileprivate init?(answer json: JSONValue) {
        guard let type = json["type"]?.string else { return nil }
        let request = json["request"]
        let monitored = request?["MonitorEvent"]?["exit_event"] ?? request?["monitor_event"]?["exit_event"]
        let exit = monitored?.ifObject ?? request?["exit_event"]?.ifObject
        self.init(
            type: type, status: json["status"]?.string ?? "",
            at: Timestamp(milliseconds: Int64(json["timestamp"]?.integer ?? 0)),
            exitCode: exit.map { $0["exit_code"]?.integer ?? 0 },
            isOutOfMemory: exit?["oom_killed"]?.bool ?? false, wasRequested: exit?["requested_stop"]?.bool ?? false)
    }
}
