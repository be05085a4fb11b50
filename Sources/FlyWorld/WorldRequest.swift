// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// One API call with who makes it.
package struct WorldRequest: Hashable, Sendable {
    /// Names the caller, so that a deferred answer finds it; unique among open calls.
    package var id: UInt64
    package var app: String
    package var machine: String?
    /// The `fly-machine-lease-nonce` header.
    package var nonce: String?
    package var caller: WorldCaller
    package var call: WorldCall

    package init(
        id: UInt64, app: String = "", machine: String? = nil, nonce: String? = nil,
        caller: WorldCaller = WorldCaller(), call: WorldCall
    ) {
        self.id = id
        self.app = app
        self.machine = machine
        self.nonce = nonce
        self.caller = caller
        self.call = call
    }
}

/// Whom a token belongs to.
package struct WorldCaller: Hashable, Codable, Sendable {
    /// Shown as the owner of leases and the user of releases.
    package var name: String
    /// The organisations it may act for; nil is all of them.
    package var organizations: Set<String>?

    package init(name: String = "token@tokens.fly.io", organizations: Set<String>? = nil) {
        self.name = name
        self.organizations = organizations
    }
}

/// What a machine is to be, as create and update are told.
package struct MachineInput: Hashable, Sendable {
    package var name: String?
    package var region: String?
    package var config: MachineConfig
    /// What the image reference means now; nil where no registry has it.
    package var imageDigest: String?
    package var skipsLaunch: Bool
    /// The machine takes no traffic until it is uncordoned.
    package var skipsServiceRegistration: Bool
    package var leaseTimeToLive: Duration?
    package var minimumSecretsVersion: Int?
    /// An `instance_id`: the update is refused where the machine has moved on.
    package var currentVersion: String?

    package init(
        name: String? = nil, region: String? = nil, config: MachineConfig, imageDigest: String?,
        skipsLaunch: Bool = false, skipsServiceRegistration: Bool = false, leaseTimeToLive: Duration? = nil,
        minimumSecretsVersion: Int? = nil, currentVersion: String? = nil
    ) {
        self.name = name
        self.region = region
        self.config = config
        self.imageDigest = imageDigest
        self.skipsLaunch = skipsLaunch
        self.skipsServiceRegistration = skipsServiceRegistration
        self.leaseTimeToLive = leaseTimeToLive
        self.minimumSecretsVersion = minimumSecretsVersion
        self.currentVersion = currentVersion
    }
}

/// Which machines a list shows.
package struct MachineFilter: Hashable, Sendable {
    package var includesDestroyed = false
    package var region: String?
    package var states: [String] = []
    package var metadata: [String: String] = [:]

    package init() {}
}

/// What a wait waits for.
package enum WaitTarget: Hashable, Sendable {
    case state(MachineState)
    /// Any resting state.
    case settled
}

/// Every call the platform takes, as values.
package indirect enum WorldCall: Hashable, Sendable {
    case createApp(organization: String)
    case getApp
    case listApps(organization: String?)
    case deleteApp

    case listMachines(MachineFilter)
    case createMachine(MachineInput)
    case getMachine
    case updateMachine(MachineInput)
    case destroyMachine(force: Bool)
    case startMachine
    case stopMachine(signal: String?, timeout: Duration?)
    case restartMachine(signal: String?, timeout: Duration?, forcesStop: Bool)
    case suspendMachine
    case signalMachine(String)
    case cordonMachine
    case uncordonMachine
    case waitMachine(targets: [WaitTarget], version: String?, timeout: Duration)
    case listVersions
    case listEvents(limit: Int)

    case acquireLease(timeToLive: Duration, note: String)
    case getLease
    case releaseLease

    case getMetadata
    /// A nil or empty value removes the key.
    case setMetadata(values: [String: String?], machineVersion: String?)

    case listSecrets(showsValues: Bool)
    /// A nil value removes the secret.
    case setSecrets([String: String?])

    case createRelease(image: String, strategy: String, definition: JSONValue?)
    case updateRelease(id: String, status: String?, metadata: JSONValue?)
    case listReleases(limit: Int)
    case currentRelease
    case readLogs(from: Int?, machine: String?, region: String?, limit: Int)

    /// The call without its arguments: what is counted, limited and hit by faults.
    package enum Kind: String, Hashable, Codable, Sendable, CaseIterable, CodingKeyRepresentable {
        case createApp, getApp, listApps, deleteApp
        case listMachines, createMachine, getMachine, updateMachine, destroyMachine, startMachine, stopMachine
        case restartMachine, suspendMachine, signalMachine, cordonMachine, uncordonMachine, waitMachine
        case listVersions, listEvents
        case acquireLease, getLease, releaseLease
        case getMetadata, setMetadata
        case listSecrets, setSecrets
        case createRelease, updateRelease, listReleases, currentRelease, readLogs
    }

    package var kind: Kind {
        switch self {
        case .createApp: .createApp
        case .getApp: .getApp
        case .listApps: .listApps
        case .deleteApp: .deleteApp
        case .listMachines: .listMachines
        case .createMachine: .createMachine
        case .getMachine: .getMachine
        case .updateMachine: .updateMachine
        case .destroyMachine: .destroyMachine
        case .startMachine: .startMachine
        case .stopMachine: .stopMachine
        case .restartMachine: .restartMachine
        case .suspendMachine: .suspendMachine
        case .signalMachine: .signalMachine
        case .cordonMachine: .cordonMachine
        case .uncordonMachine: .uncordonMachine
        case .waitMachine: .waitMachine
        case .listVersions: .listVersions
        case .listEvents: .listEvents
        case .acquireLease: .acquireLease
        case .getLease: .getLease
        case .releaseLease: .releaseLease
        case .getMetadata: .getMetadata
        case .setMetadata: .setMetadata
        case .listSecrets: .listSecrets
        case .setSecrets: .setSecrets
        case .createRelease: .createRelease
        case .updateRelease: .updateRelease
        case .listReleases: .listReleases
        case .currentRelease: .currentRelease
        case .readLogs: .readLogs
        }
    }
}

extension WorldCall.Kind {
    /// Whether a live lease of somebody else's stops the call. Source: Fly's documentation of leases, and flyctl.
    package var isGuardedByLease: Bool {
        switch self {
        case .updateMachine, .destroyMachine, .startMachine, .stopMachine, .restartMachine, .suspendMachine,
            .cordonMachine, .uncordonMachine:
            true
        case .createApp, .getApp, .listApps, .deleteApp, .listMachines, .createMachine, .getMachine, .signalMachine,
            .waitMachine, .listVersions, .listEvents, .acquireLease, .getLease, .releaseLease, .getMetadata,
            .setMetadata, .listSecrets, .setSecrets, .createRelease, .updateRelease, .listReleases, .currentRelease,
            .readLogs:
            false
        }
    }

    /// How often the call may be made per machine or app; nil for the platform API, which names no limit.
    /// Source: Fly's Machines API documentation, "Rate limits".
    package var rate: TokenBucket.Rate? {
        switch self {
        case .getMachine: TokenBucket.Rate(perSecond: 5, burst: 10)
        case .deleteApp: TokenBucket.Rate(perSecond: 2, burst: 100)
        case .createRelease, .updateRelease, .listReleases, .currentRelease, .readLogs: nil
        case .createApp, .getApp, .listApps, .listMachines, .createMachine, .updateMachine, .destroyMachine,
            .startMachine, .stopMachine, .restartMachine, .suspendMachine, .signalMachine, .cordonMachine,
            .uncordonMachine, .waitMachine, .listVersions, .listEvents, .acquireLease, .getLease, .releaseLease,
            .getMetadata, .setMetadata, .listSecrets, .setSecrets:
            TokenBucket.Rate(perSecond: 1, burst: 3)
        }
    }
}
