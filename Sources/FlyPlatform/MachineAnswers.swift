// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// An app as the Machines API shows it.
package struct AppInfo: Hashable, Codable, Sendable {
    package var name: AppName
    /// The slug of the organisation that owns it.
    package var organization: String
    /// `deployed`, `pending`, `suspended`; the platform's word.
    package var status: String

    package init(name: AppName, organization: String, status: String) {
        self.name = name
        self.organization = organization
        self.status = status
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        self.init(
            name: AppName(try json.requiredString("name")), organization: json["organization"]?["slug"]?.string ?? "",
            status: json["status"]?.string ?? "")
    }
}

/// What the token may do with an app.
package enum AppAccess: Hashable, Sendable {
    case granted(AppInfo)
    /// The platform does not accept the token at all (401).
    case tokenRejected(FlyError)
    /// The token is good, but the app is another organisation's (403).
    case otherOrganization(FlyError)
    /// There is no such app, or none this token may know of (404).
    case appMissing(FlyError)
}

/// A machine right after its creation.
package struct CreatedMachine: Hashable, Sendable {
    package var machine: FleetMachine
    /// The lease the platform took with it, where one was asked for.
    package var leaseNonce: LeaseNonce?

    package init(machine: FleetMachine, leaseNonce: LeaseNonce?) {
        self.machine = machine
        self.leaseNonce = leaseNonce
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        self.init(
            machine: try FleetMachine(answer: json),
            leaseNonce: json["nonce"]?.string.flatMap { $0.isEmpty ? nil : LeaseNonce($0) })
    }
}

/// The right to change one machine, for a while.
package struct Lease: Hashable, Codable, Sendable {
    package var nonce: LeaseNonce
    package var expiresAt: Timestamp
    /// Who the platform says holds it.
    package var owner: String
    /// The machine's version when it was leased; nil where the platform does not say.
    package var version: InstanceID?

    package init(nonce: LeaseNonce, expiresAt: Timestamp, owner: String, version: InstanceID?) {
        self.nonce = nonce
        self.expiresAt = expiresAt
        self.owner = owner
        self.version = version
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        let data = json.leaseData
        self.init(
            nonce: LeaseNonce(try data.requiredString("nonce")), expiresAt: try data.leaseExpiry(),
            owner: FlyError.oneLine(data["owner"]?.string ?? "", limit: 120),
            version: data["version"]?.string.flatMap { $0.isEmpty ? nil : InstanceID($0) })
    }
}

extension LeaseHolder {
    /// Reads a lease without its nonce, which is the holder's.
    init(answer json: JSONValue) throws(UnexpectedShape) {
        let data = json.leaseData
        self.init(
            owner: FlyError.oneLine(data["owner"]?.string ?? "", limit: 120),
            description: FlyError.oneLine(data["description"]?.string ?? ""), expiresAt: try data.leaseExpiry())
    }
}

extension JSONValue {
    /// The lease in `{"status":"success","data":{…}}`, or the bare data as the OpenAPI description has it.
    fileprivate var leaseData: JSONValue { self["data"] ?? self }

    /// Seconds since the epoch, or RFC 3339: servers differ.
    fileprivate func leaseExpiry() throws(UnexpectedShape) -> Timestamp {
        let expiresAt = self["expires_at"]
        guard
            let expires = expiresAt?.integer.map({ Timestamp(secondsSinceEpoch: Int64($0)) })
                ?? expiresAt?.string.flatMap({ Timestamp($0) })
        else { throw UnexpectedShape(message: "“expires_at” is missing in the lease, or no time") }
        return expires
    }
}

/// The states the platform can be asked to wait for.
package enum WaitState: String, Hashable, Codable, Sendable, CaseIterable {
    case started, stopped, suspended, destroyed, failed
    /// Any state that lasts.
    case settled
}

/// How a wait ended.
package enum WaitOutcome: Hashable, Sendable {
    /// The version waited for is in this state.
    case reached(state: String)
    /// The state was reached, but by another version: the update was reverted or replaced.
    case superseded(by: InstanceID, state: String)
    /// The time is over (408).
    case timedOut
    /// The machine, or this version of it, is no more (404).
    case gone
}

/// One version of a machine's config.
package struct MachineVersion: Hashable, Codable, Sendable {
    package var instance: InstanceID
    package var config: MachineConfig

    package init(instance: InstanceID, config: MachineConfig) {
        self.instance = instance
        self.config = config
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        guard let config = json["user_config"], config.object != nil else {
            throw UnexpectedShape(message: "“user_config” is missing in a version")
        }
        self.init(instance: InstanceID(try json.requiredString("version")), config: MachineConfig(config))
    }
}

/// The names of an app's secrets; values never leave the platform.
package struct SecretList: Hashable, Codable, Sendable {
    package struct Secret: Hashable, Codable, Sendable {
        package var name: String
        /// The platform's digest of the value: equal digests mean equal values.
        package var digest: String

        package init(name: String, digest: String) {
            self.name = name
            self.digest = digest
        }
    }

    package var secrets: [Secret]
    /// The version of the whole set; nil where the platform does not say.
    package var version: Int?

    package init(secrets: [Secret], version: Int?) {
        self.secrets = secrets
        self.version = version
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        guard let list = json["secrets"] else { throw UnexpectedShape(message: "“secrets” is missing in the answer") }
        var secrets: [Secret] = []
        for secret in try list.elements("the list of secrets") {
            secrets.append(Secret(name: try secret.requiredString("name"), digest: secret["digest"]?.string ?? ""))
        }
        self.init(secrets: secrets, version: json["version"]?.integer ?? json["Version"]?.integer)
    }
}

/// A region the platform runs machines in.
package struct Region: Hashable, Codable, Sendable {
    package var code: String
    package var name: String
    package var isDeprecated: Bool
    package var requiresPaidPlan: Bool

    package init(code: String, name: String, isDeprecated: Bool, requiresPaidPlan: Bool) {
        self.code = code
        self.name = name
        self.isDeprecated = isDeprecated
        self.requiresPaidPlan = requiresPaidPlan
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        self.init(
            code: try json.requiredString("code"), name: json["name"]?.string ?? "",
            isDeprecated: json["deprecated"]?.bool ?? false,
            requiresPaidPlan: json["requires_paid_plan"]?.bool ?? false)
    }
}

/// Where simulated machines would be placed.
package struct Placement: Hashable, Codable, Sendable {
    package var region: String
    /// How many machines the region would take.
    package var count: Int

    package init(region: String, count: Int) {
        self.region = region
        self.count = count
    }

    init(answer json: JSONValue) throws(UnexpectedShape) {
        self.init(region: try json.requiredString("region"), count: json["count"]?.integer ?? 0)
    }
}
