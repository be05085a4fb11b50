// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension FlyClient {
    /// The app, or an error that tells a bad token (401) from another organisation's app (403) and no app (404).
    package func app(_ app: AppName) async throws(FlyError) -> AppInfo {
        var call = APICall(
            action: .getApp, method: "GET", template: "/v1/apps/{app}", app: app, repetition: .safe,
            total: FlyTimeouts.read)
        call.subject = .app
        return try await perform(call) { json throws(UnexpectedShape) in try AppInfo(answer: json) }
    }

    /// Whether the token works and is good for the app; throws only where the platform did not say.
    package func access(to app: AppName) async throws(FlyError) -> AppAccess {
        do {
            return .granted(try await self.app(app))
        } catch {
            switch error.code {
            case .unauthorized: return .tokenRejected(error)
            case .forbidden: return .otherOrganization(error)
            case .appNotFound: return .appMissing(error)
            case .machineNotFound, .notFound, .leaseHeld, .conflict, .precondition, .insufficientCapacity, .nameTaken,
                .deadlineExceeded, .rateLimited, .badRequest, .serverError, .unreachable, .malformedAnswer, .cancelled:
                throw error
            }
        }
    }

    /// Deletes an app with everything in it.
    package func deleteApp(_ app: AppName) async throws(FlyError) {
        var call = APICall(
            action: .deleteApp, method: "DELETE", template: "/v1/apps/{app}", app: app,
            repetition: .onlyIfUnprocessed, total: FlyTimeouts.mutation)
        call.subject = .app
        try await perform(call)
    }

    /// The app's machines, those that match all of `metadata`; destroyed ones only where asked for.
    package func machines(
        _ app: AppName, metadata: [String: String] = [:], region: String? = nil, includeDeleted: Bool = false
    ) async throws(FlyError) -> [FleetMachine] {
        var call = APICall(
            action: .listMachines, method: "GET", template: "/v1/apps/{app}/machines", app: app, repetition: .safe,
            total: FlyTimeouts.list)
        call.subject = .app
        call.maxBodyBytes = APICall.maxListBytes
        if includeDeleted { call.query.append((name: "include_deleted", value: "true")) }
        if let region { call.query.append((name: "region", value: region)) }
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            call.query.append((name: "metadata." + key, value: value))
        }
        return try await perform(call) { json throws(UnexpectedShape) in
            // Anything but an array must not pass for an empty fleet, null included.
            guard let list = json.array else {
                throw UnexpectedShape(message: "the list of machines came as something else than a list")
            }
            var machines: [FleetMachine] = []
            for entry in list { machines.append(try FleetMachine(answer: entry)) }
            return machines
        }
    }

    /// One machine with its whole config, checks and events.
    package func machine(_ app: AppName, _ id: MachineID) async throws(FlyError) -> FleetMachine {
        let call = onMachine(.getMachine, "GET", "", app, id, .safe, FlyTimeouts.read)
        return try await perform(call) { json throws(UnexpectedShape) in try FleetMachine(answer: json) }
    }

    /// Creates a machine. An ambiguous error means that there may be one now: look for it by the metadata in `config`.
    package func createMachine(
        _ app: AppName, name: String? = nil, region: String, config: MachineConfig, skipLaunch: Bool = false,
        leaseTTL: Duration? = nil, minSecretsVersion: Int? = nil
    ) async throws(FlyError) -> CreatedMachine {
        var call = APICall(
            action: .createMachine, method: "POST", template: "/v1/apps/{app}/machines", app: app,
            repetition: .onlyIfUnprocessed, total: FlyTimeouts.mutation)
        call.subject = .app
        var body: [String: JSONValue] = ["config": try objectConfig(config, call), "region": .string(region)]
        if let name { body["name"] = .string(name) }
        if skipLaunch { body["skip_launch"] = true }
        if let leaseTTL { body["lease_ttl"] = .integer(leaseTTL.wholeSecondsUp) }
        if let minSecretsVersion { body["min_secrets_version"] = .integer(Int64(minSecretsVersion)) }
        call.body = .object(body)
        return try await perform(call) { json throws(UnexpectedShape) in try CreatedMachine(answer: json) }
    }

    /// Replaces a machine's whole config, provided that `currentVersion` is still its version.
    ///
    /// With `skipLaunch` a stopped machine stays stopped. The answer's `instance` is the version to wait for.
    package func updateMachine(
        _ app: AppName, _ id: MachineID, config: MachineConfig, currentVersion: InstanceID, leaseNonce: LeaseNonce,
        skipLaunch: Bool = false, region: String? = nil, minSecretsVersion: Int? = nil
    ) async throws(FlyError) -> FleetMachine {
        var call = onMachine(.updateMachine, "POST", "", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation, leaseNonce)
        var body: [String: JSONValue] = [
            "config": try objectConfig(config, call), "current_version": .string(currentVersion.rawValue),
        ]
        if skipLaunch { body["skip_launch"] = true }
        if let region { body["region"] = .string(region) }
        if let minSecretsVersion { body["min_secrets_version"] = .integer(Int64(minSecretsVersion)) }
        call.body = .object(body)
        return try await perform(call) { json throws(UnexpectedShape) in try FleetMachine(answer: json) }
    }

    /// Waits until *this version* of the machine is in one of the states, up to `timeout` (1…60 s; others are clamped).
    package func waitFor(
        _ app: AppName, _ id: MachineID, states: [WaitState], version: InstanceID, timeout: Duration
    ) async throws(FlyError) -> WaitOutcome {
        precondition(!states.isEmpty, "a wait needs a state")
        var call = onMachine(.waitMachine, "GET", "/wait", app, id, .safe, FlyTimeouts.waitRange.upperBound)
        call.query = states.map { (name: "state", value: $0.rawValue) } + [(name: "version", value: version.rawValue)]
        call.wait = min(max(timeout, FlyTimeouts.waitRange.lowerBound), FlyTimeouts.waitRange.upperBound)
        call.timeoutIsAnAnswer = true
        do {
            return try await perform(call) { json throws(UnexpectedShape) in
                guard json.object != nil else { throw UnexpectedShape(message: "the wait's answer is no object") }
                if json["ok"]?.bool == false { return .timedOut }
                let state = json["state"]?.string ?? (states.count == 1 ? states[0].rawValue : "")
                if let seen = json["version"]?.string, !seen.isEmpty, seen != version.rawValue {
                    return .superseded(by: InstanceID(seen), state: state)
                }
                return .reached(state: state)
            }
        } catch {
            switch error.code {
            case .deadlineExceeded: return .timedOut
            case .machineNotFound, .notFound: return .gone
            case .unauthorized, .forbidden, .appNotFound, .leaseHeld, .conflict, .precondition, .insufficientCapacity,
                .nameTaken, .rateLimited, .badRequest, .serverError, .unreachable, .malformedAnswer, .cancelled:
                throw error
            }
        }
    }

    /// Takes the machine out of the proxy's routing.
    package func cordon(_ app: AppName, _ id: MachineID, leaseNonce: LeaseNonce? = nil) async throws(FlyError) {
        try await perform(
            onMachine(.cordonMachine, "POST", "/cordon", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation, leaseNonce))
    }

    /// Puts the machine back into the proxy's routing.
    package func uncordon(_ app: AppName, _ id: MachineID, leaseNonce: LeaseNonce? = nil) async throws(FlyError) {
        try await perform(
            onMachine(
                .uncordonMachine, "POST", "/uncordon", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation, leaseNonce))
    }

    /// Starts a machine that is stopped, suspended or created.
    package func start(_ app: AppName, _ id: MachineID, leaseNonce: LeaseNonce? = nil) async throws(FlyError) {
        try await perform(
            onMachine(.startMachine, "POST", "/start", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation, leaseNonce))
    }

    /// Stops a machine: `signal` (`SIGINT`, …), and after `timeout` the kill; both default to the machine's config.
    package func stop(
        _ app: AppName, _ id: MachineID, signal: String? = nil, timeout: Duration? = nil, leaseNonce: LeaseNonce? = nil
    ) async throws(FlyError) {
        var call = onMachine(
            .stopMachine, "POST", "/stop", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation, leaseNonce)
        var body: [String: JSONValue] = [:]
        if let signal { body["signal"] = .string(signal) }
        if let timeout { body["timeout"] = .string(timeout.goText) }
        // The platform refuses a missing body, so it is an object even where it says nothing.
        call.body = .object(body)
        try await perform(call)
    }

    /// Stops and starts a machine in one call.
    package func restart(
        _ app: AppName, _ id: MachineID, signal: String? = nil, timeout: Duration? = nil, leaseNonce: LeaseNonce? = nil
    ) async throws(FlyError) {
        var call = onMachine(
            .restartMachine, "POST", "/restart", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation, leaseNonce)
        if let timeout { call.query.append((name: "timeout", value: timeout.goText)) }
        if let signal { call.query.append((name: "signal", value: signal)) }
        try await perform(call)
    }

    /// Destroys a machine; one that runs only with `force`.
    package func destroy(
        _ app: AppName, _ id: MachineID, force: Bool = false, leaseNonce: LeaseNonce? = nil
    ) async throws(FlyError) {
        var call = onMachine(
            .destroyMachine, "DELETE", "", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation, leaseNonce)
        if force { call.query.append((name: "force", value: "true")) }
        try await perform(call)
    }

    /// The configs the machine has had, as the platform lists them.
    package func versions(_ app: AppName, _ id: MachineID) async throws(FlyError) -> [MachineVersion] {
        let call = onMachine(.listVersions, "GET", "/versions", app, id, .safe, FlyTimeouts.read)
        return try await perform(call) { json throws(UnexpectedShape) in
            var versions: [MachineVersion] = []
            for entry in try json.elements("the list of versions") {
                versions.append(try MachineVersion(answer: entry))
            }
            return versions
        }
    }

    /// A call on one machine; `suffix` is what follows the machine's own path.
    func onMachine(
        _ action: APIAction, _ method: String, _ suffix: String, _ app: AppName, _ id: MachineID,
        _ repetition: RetryPolicy.Repetition, _ total: Duration, _ leaseNonce: LeaseNonce? = nil
    ) -> APICall {
        var call = APICall(
            action: action, method: method, template: "/v1/apps/{app}/machines/{machine}" + suffix, app: app,
            machine: id, leaseNonce: leaseNonce, repetition: repetition, total: total)
        call.subject = .machine
        return call
    }

    /// The config as it is sent; throws where it is none, before anything is replaced by it.
    private func objectConfig(_ config: MachineConfig, _ call: APICall) throws(FlyError) -> JSONValue {
        guard let members = config.json.object, !members.isEmpty else {
            throw FlyError(
                .badRequest, message: "the machine config is empty", method: call.method, path: try call.path())
        }
        return config.json
    }
}

extension Duration {
    /// Whole seconds, rounded up.
    var wholeSecondsUp: Int64 {
        components.seconds + (components.attoseconds > 0 ? 1 : 0)
    }

    /// As Go writes it: `10s`, or `1500ms` where there is a fraction of a second.
    var goText: String {
        components.attoseconds == 0 ? "\(components.seconds)s" : "\(wholeMilliseconds)ms"
    }
}
