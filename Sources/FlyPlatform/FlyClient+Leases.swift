// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension FlyClient {
    /// Leases a machine for `ttl` (whole seconds). Where an earlier attempt's answer was lost, `leaseHeld` is
    /// ambiguous: the lease may be ours, and ends by itself.
    package func acquireLease(
        _ app: AppName, _ id: MachineID, ttl: Duration, description: String
    ) async throws(FlyError) -> Lease {
        try await lease(app, id, ttl: ttl, description: description, nonce: nil)
    }

    /// Prolongs a lease to `ttl` from now; the nonce stays the same.
    package func refreshLease(
        _ app: AppName, _ id: MachineID, nonce: LeaseNonce, ttl: Duration
    ) async throws(FlyError) -> Lease {
        try await lease(app, id, ttl: ttl, description: nil, nonce: nonce)
    }

    /// Ends a lease; succeeds also where it has ended already. Throws `machineNotFound` where the machine has.
    package func releaseLease(_ app: AppName, _ id: MachineID, nonce: LeaseNonce) async throws(FlyError) {
        do {
            try await perform(onMachine(.releaseLease, "DELETE", "/lease", app, id, .safe, FlyTimeouts.lease, nonce))
        } catch {
            guard error.code == .notFound else { throw error }
        }
    }

    /// Who holds the machine's lease; nil where nobody does. Throws `machineNotFound` where there is no machine.
    package func leaseHolder(_ app: AppName, _ id: MachineID) async throws(FlyError) -> LeaseHolder? {
        let call = onMachine(.getLease, "GET", "/lease", app, id, .safe, FlyTimeouts.lease)
        do {
            return try await perform(call) { json throws(UnexpectedShape) in
                json["data"] == .null ? nil : try LeaseHolder(answer: json)
            }
        } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    private func lease(
        _ app: AppName, _ id: MachineID, ttl: Duration, description: String?, nonce: LeaseNonce?
    ) async throws(FlyError) -> Lease {
        var call = onMachine(.acquireLease, "POST", "/lease", app, id, .safe, FlyTimeouts.lease, nonce)
        let seconds = max(1, ttl.wholeSecondsUp)
        // Servers differ in which of the two they read.
        call.query = [(name: "ttl", value: String(seconds))]
        var body: [String: JSONValue] = ["ttl": .integer(seconds)]
        if let description { body["description"] = .string(description) }
        call.body = .object(body)
        return try await perform(call) { json throws(UnexpectedShape) in try Lease(answer: json) }
    }

    /// The machine's metadata as it is now.
    package func metadata(_ app: AppName, _ id: MachineID) async throws(FlyError) -> [String: String] {
        let call = onMachine(.getMetadata, "GET", "/metadata", app, id, .safe, FlyTimeouts.read)
        return try await perform(call) { json throws(UnexpectedShape) in
            if json == .null { return [:] }
            guard let members = json.object else { throw UnexpectedShape(message: "the metadata is no object") }
            return members.compactMapValues(\.string)
        }
    }

    /// Sets one key. Leases do not guard metadata, and a write that races an update is lost.
    package func setMetadata(
        _ app: AppName, _ id: MachineID, key: String, value: String
    ) async throws(FlyError) {
        var call = onMachine(
            .setMetadata, "POST", "/metadata/{key}", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation)
        call.key = key
        call.body = ["value": .string(value)]
        try await perform(call)
    }

    /// Sets several keys at once, and removes those whose value is nil; with `expecting`, only while that is the
    /// machine's version (`precondition` otherwise).
    package func patchMetadata(
        _ app: AppName, _ id: MachineID, _ changes: [String: String?], expecting version: InstanceID? = nil
    ) async throws(FlyError) {
        var call = onMachine(
            .patchMetadata, "PATCH", "/metadata", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation)
        var body: [String: JSONValue] = [
            "metadata": .object(changes.mapValues { $0.map(JSONValue.string) ?? .null })
        ]
        if let version { body["machine_version"] = .string(version.rawValue) }
        call.body = .object(body)
        try await perform(call)
    }

    /// Removes one key.
    package func deleteMetadata(_ app: AppName, _ id: MachineID, key: String) async throws(FlyError) {
        var call = onMachine(
            .deleteMetadata, "DELETE", "/metadata/{key}", app, id, .onlyIfUnprocessed, FlyTimeouts.mutation)
        call.key = key
        try await perform(call)
    }
}
