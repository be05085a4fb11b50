// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model

/// A run's calls as the platform takes them, and the platform's answers as a run takes them: what the client of Fly's
/// API does, without the wire.
enum PlatformTranslation {
    /// - Parameter digest: what an image reference means now; nil where no registry has it.
    static func request(
        _ call: PlatformCall, id: UInt64, app: AppName, caller: WorldCaller, note: @autoclosure () -> String,
        digest: (String) -> ImageDigest?
    ) -> WorldRequest {
        var request = WorldRequest(id: id, app: app.rawValue, caller: caller, call: .getApp)
        func input(_ config: MachineConfig) -> MachineInput {
            MachineInput(config: config, imageDigest: config.image.flatMap(digest)?.rawValue)
        }
        switch call {
        case .app: break
        case .machines, .observe: request.call = .listMachines(MachineFilter())
        case .machine: request.call = .getMachine
        case .acquireLease(_, let seconds):
            request.call = .acquireLease(timeToLive: .seconds(seconds), note: note())
        case .refreshLease(_, let nonce, let seconds):
            request.nonce = nonce.rawValue
            request.call = .acquireLease(timeToLive: .seconds(seconds), note: note())
        case .releaseLease(_, let nonce):
            request.nonce = nonce.rawValue
            request.call = .releaseLease
        case .update(_, let config, let version, let nonce, let skipsLaunch):
            request.nonce = nonce.rawValue
            var machine = input(config)
            machine.skipsLaunch = skipsLaunch
            machine.currentVersion = version.rawValue
            request.call = .updateMachine(machine)
        case .create(let name, let region, let config, let skipsLaunch, let seconds):
            var machine = input(config)
            machine.leaseTimeToLive = seconds.map { .seconds($0) }
            machine.name = name
            machine.region = region
            machine.skipsLaunch = skipsLaunch
            request.call = .createMachine(machine)
        case .wait(_, let version, let state, let seconds):
            request.call = .waitMachine(
                targets: [.state(MachineState(rawValue: state) ?? .started)], version: version.rawValue,
                timeout: .seconds(seconds))
        case .destroy(_, let nonce):
            request.nonce = nonce.rawValue
            request.call = .destroyMachine(force: true)
        case .versions: request.call = .listVersions
        case .lease: request.call = .getLease
        case .metadata: request.call = .getMetadata
        case .setMetadata(_, let key, let value):
            request.call = .setMetadata(values: [key: value], machineVersion: nil)
        case .removeMetadata(_, let key): request.call = .setMetadata(values: [key: nil], machineVersion: nil)
        case .cordon(_, let nonce):
            request.nonce = nonce.rawValue
            request.call = .cordonMachine
        case .uncordon(_, let nonce):
            request.nonce = nonce.rawValue
            request.call = .uncordonMachine
        case .secretNames: request.call = .listSecrets(showsValues: false)
        case .createRelease(let image, let strategy):
            request.call = .createRelease(image: image, strategy: strategy, definition: nil)
        case .finishRelease(let id, let status):
            request.call = .updateRelease(id: id, status: status, metadata: nil)
        case .releases(let limit): request.call = .listReleases(limit: limit)
        }
        request.machine = call.target?.rawValue
        // An empty nonce is no header at all.
        if request.nonce == "" { request.nonce = nil }
        return request
    }

    /// - Parameter sentAt: when the call was sent: a created machine's lease is reckoned from then.
    static func answer(_ answer: WorldAnswer, to call: PlatformCall, sentAt: Timestamp) -> Answer {
        switch (call, answer) {
        case (_, .failure(let failure)): return failed(failure, call)
        case (.observe, .machines(let list)): return .observations(list: list.map(Observation.init(ofWorld:)))
        case (_, .machines(let list)): return .machines(list: list.map(FleetMachine.init(ofWorld:)))
        case (.create(_, _, _, _, let seconds), .machine(let machine, let nonce)):
            return .created(
                machine: FleetMachine(ofWorld: machine),
                lease: nonce.map { Lease(nonce: LeaseNonce($0), expiresAt: sentAt + .seconds(seconds ?? 0)) })
        case (_, .machine(let machine, _)): return .machine(machine: FleetMachine(ofWorld: machine))
        case (_, .app(let app, _)): return .app(organization: app.organization)
        case (.lease, .lease(let lease, _)):
            return .leaseHolder(
                holder: LeaseHolder(
                    owner: lease.owner, description: lease.note, expiresAt: wholeSeconds(lease.expiresAt)))
        case (_, .lease(let lease, _)):
            return .lease(lease: Lease(nonce: LeaseNonce(lease.nonce), expiresAt: wholeSeconds(lease.expiresAt)))
        case (_, .secrets(let secrets, _, _)): return .names(list: secrets.keys.sorted())
        case (_, .versions(let list)):
            return .versions(
                list: list.map { MachineVersionEntry(instance: InstanceID($0.instance), config: $0.config) })
        case (.createRelease, .release(let release, _)):
            return .platformRelease(id: release.id, number: ReleaseNumber(release.version))
        case (_, .releases(let list)):
            return .platformReleases(
                list: list.map {
                    PlatformReleaseEntry(
                        id: $0.id, number: ReleaseNumber($0.version), status: $0.status, image: $0.image)
                })
        case (.metadata(_, let prefix), .metadata(let values)):
            return .metadata(values: values.filter { $0.key.hasPrefix(prefix) })
        case (_, .done), (_, .reached), (_, .started), (_, .apps), (_, .events), (_, .metadata), (_, .release),
            (_, .logs):
            return .done
        }
    }

    /// The wire tells the ends of leases in whole seconds.
    private static func wholeSeconds(_ time: Timestamp) -> Timestamp {
        Timestamp(secondsSinceEpoch: time.secondsSinceEpoch)
    }

    private static func failed(_ failure: WorldFailure, _ call: PlatformCall) -> Answer {
        switch (call, failure.status) {
        case (.wait, 408): .waitTimedOut
        // What is asked for is so already.
        case (.releaseLease, 404) where failure.message == "lease not found": .done
        case (.lease, 404) where failure.message == "lease not found": .leaseHolder(holder: nil)
        default: .failed(failure: self.failure(failure, call))
        }
    }

    static func failure(_ failure: WorldFailure, _ call: PlatformCall) -> Failure {
        let text = failure.message
        let isCapacity = failure.code == "insufficient_capacity"
        let held = text.contains("lease currently held by ")
        let code: Failure.Code =
            switch failure.status {
            case 401: .unauthorized
            case 403: .forbidden
            case 404: .notFound
            case 408: .timedOut
            case 429: .rateLimited
            case 409: held ? .leaseHeld : isCapacity ? .capacity : .conflict
            case 412: isCapacity ? .capacity : .conflict
            case 500...599: isCapacity ? .capacity : .unavailable
            default: isCapacity ? .capacity : failure.code == "name_taken" ? .conflict : .invalid
            }
        var expiry: Timestamp?
        if held, let mark = text.firstRange(of: "expires at ") { expiry = Timestamp(String(text[mark.upperBound...])) }
        return Failure(
            code, text, isAmbiguous: call.isMutation && (code == .unavailable || code == .timedOut),
            leaseExpiresAt: expiry)
    }
}

extension PlatformCall {
    /// The machine the call is about; nil for calls about the app and for creates.
    var target: MachineID? {
        switch self {
        case .machine(let id), .acquireLease(let id, _), .refreshLease(let id, _, _), .releaseLease(let id, _),
            .update(let id, _, _, _, _), .wait(let id, _, _, _), .cordon(let id, _), .uncordon(let id, _),
            .destroy(let id, _), .versions(let id), .lease(let id), .metadata(let id, _),
            .setMetadata(let id, _, _), .removeMetadata(let id, _):
            id
        case .app, .machines, .observe, .create, .secretNames, .createRelease, .finishRelease, .releases: nil
        }
    }

    /// Whether the call changes the fleet itself: leases and release records do not.
    var changesFleet: Bool {
        switch self {
        case .update, .create, .destroy, .cordon, .uncordon: true
        case .app, .machines, .observe, .machine, .acquireLease, .refreshLease, .releaseLease, .wait, .versions,
            .lease, .metadata, .setMetadata, .removeMetadata, .secretNames, .createRelease, .finishRelease, .releases:
            false
        }
    }

    /// Whether the client of Fly's API repeats it whatever became of it: twice is as good as once.
    var isRepeatedByClient: Bool {
        switch self {
        case .app, .machines, .observe, .machine, .wait, .versions, .lease, .metadata, .secretNames, .releases,
            .acquireLease, .refreshLease, .releaseLease:
            true
        case .update, .create, .destroy, .setMetadata, .removeMetadata, .cordon, .uncordon, .createRelease,
            .finishRelease:
            false
        }
    }

    /// What the platform counts the call as.
    var kind: WorldCall.Kind {
        switch self {
        case .app: .getApp
        case .machines, .observe: .listMachines
        case .machine: .getMachine
        case .acquireLease, .refreshLease: .acquireLease
        case .releaseLease: .releaseLease
        case .update: .updateMachine
        case .create: .createMachine
        case .wait: .waitMachine
        case .destroy: .destroyMachine
        case .versions: .listVersions
        case .lease: .getLease
        case .metadata: .getMetadata
        case .setMetadata, .removeMetadata: .setMetadata
        case .cordon: .cordonMachine
        case .uncordon: .uncordonMachine
        case .secretNames: .listSecrets
        case .createRelease: .createRelease
        case .finishRelease: .updateRelease
        case .releases: .listReleases
        }
    }
}

extension FleetMachine {
    /// The machine as the API would describe it.
    init(ofWorld machine: WorldMachine) {
        self.init(
            id: MachineID(machine.id), name: machine.name, state: machine.state.rawValue, region: machine.region,
            instance: InstanceID(machine.instance), config: machine.config.asReadBack,
            isConfigComplete: machine.hostStatus == "ok", imageDigest: machine.imageDigest.map { ImageDigest($0) },
            checks: machine.checks.map {
                Check(name: $0.name, status: $0.standing.rawValue, output: $0.output, updatedAt: $0.updatedAt)
            },
            events: machine.events.map {
                Event(
                    type: $0.type, status: $0.status, at: $0.at, exitCode: $0.exit.map { Int($0.code) },
                    isOutOfMemory: $0.exit?.isOutOfMemory ?? false, wasRequested: $0.exit?.wasRequested ?? false)
            }, hostStatus: machine.hostStatus, isCordoned: machine.isCordoned,
            privateAddress: machine.privateAddress,
            createdAt: Timestamp(secondsSinceEpoch: machine.createdAt.secondsSinceEpoch))
    }
}

extension MachineConfig {
    /// The config as the API shows it: `autostop` of a service reads back as a boolean for `off` and `stop`.
    fileprivate var asReadBack: MachineConfig {
        guard var services = json["services"]?.array,
            services.contains(where: { ["off", "stop"].contains($0["autostop"]?.string) })
        else { return self }
        for index in services.indices {
            switch services[index]["autostop"]?.string {
            case "off": services[index]["autostop"] = false
            case "stop": services[index]["autostop"] = true
            default: break
            }
        }
        var copy = self
        copy.json["services"] = .array(services)
        return copy
    }
}

extension Observation {
    init(ofWorld machine: WorldMachine) { self.init(of: FleetMachine(ofWorld: machine)) }
}
