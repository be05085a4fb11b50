// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyPlatform
internal import Model
internal import Ports

/// Fly's API for one app, as a run asks for it.
struct LivePlatform: PlatformPort {
    let client: FlyClient
    let app: AppName
    /// What leases are marked with, for whoever finds them.
    let description: String
    let clock: any DriverClock

    var callCount: Int { client.callCount }

    func answer(_ call: PlatformCall) async -> Answer {
        do {
            return try await send(call)
        } catch {
            return .failed(failure: Failure(error))
        }
    }

    /// A lease's end is reckoned from when it was asked for, by this process's clock: the platform's may be another.
    private func send(_ call: PlatformCall) async throws(FlyError) -> Answer {
        switch call {
        case .app:
            return .app(organization: try await client.app(app).organization)
        case .machines:
            return .machines(list: try await client.machines(app))
        case .observe:
            return .observations(list: try await client.machines(app).map(Observation.init(of:)))
        case .machine(let id):
            return .machine(machine: try await client.machine(app, id))
        case .acquireLease(let id, let seconds):
            let sent = clock.now
            let lease = try await client.acquireLease(
                app, id, ttl: .seconds(seconds), description: description)
            return .lease(lease: Model.Lease(nonce: lease.nonce, expiresAt: sent + .seconds(seconds)))
        case .refreshLease(let id, let nonce, let seconds):
            let sent = clock.now
            let lease = try await client.refreshLease(app, id, nonce: nonce, ttl: .seconds(seconds))
            return .lease(lease: Model.Lease(nonce: lease.nonce, expiresAt: sent + .seconds(seconds)))
        case .releaseLease(let id, let nonce):
            try await client.releaseLease(app, id, nonce: nonce)
            return .done
        case .update(let id, let config, let version, let nonce, let skipLaunch):
            return .machine(
                machine: try await client.updateMachine(
                    app, id, config: config, currentVersion: version, leaseNonce: nonce, skipLaunch: skipLaunch))
        case .create(let name, let region, let config, let skipLaunch, let seconds):
            let sent = clock.now
            let created = try await client.createMachine(
                app, name: name, region: region, config: config, skipLaunch: skipLaunch,
                leaseTTL: seconds.map { .seconds($0) })
            return .created(
                machine: created.machine,
                lease: created.leaseNonce.map { Model.Lease(nonce: $0, expiresAt: sent + .seconds(seconds ?? 0)) })
        case .wait(let id, let version, let state, let seconds):
            guard let state = WaitState(rawValue: state) else {
                return .failed(failure: Failure(.invalid, "the platform knows no state “\(state)” to wait for"))
            }
            let outcome = try await client.waitFor(
                app, id, states: [state], version: version, timeout: .seconds(seconds))
            switch outcome {
            case .reached: return .done
            case .timedOut: return .waitTimedOut
            case .superseded(let other, _):
                return .failed(failure: Failure(.conflict, "version \(other) took the place of \(version)"))
            case .gone:
                return .failed(failure: Failure(.notFound, "version \(version) of machine \(id) is no more"))
            }
        case .destroy(let id, let nonce):
            try await client.destroy(app, id, force: true, leaseNonce: nonce)
            return .done
        case .versions(let id):
            return .versions(
                list: try await client.versions(app, id).map {
                    MachineVersionEntry(instance: $0.instance, config: $0.config)
                })
        case .lease(let id):
            return .leaseHolder(holder: try await client.leaseHolder(app, id))
        case .metadata(let id, let prefix):
            return .metadata(values: try await client.metadata(app, id).filter { $0.key.hasPrefix(prefix) })
        case .setMetadata(let id, let key, let value):
            try await client.setMetadata(app, id, key: key, value: value)
            return .done
        case .removeMetadata(let id, let key):
            try await client.deleteMetadata(app, id, key: key)
            return .done
        case .cordon(let id, let nonce):
            try await client.cordon(app, id, leaseNonce: nonce)
            return .done
        case .uncordon(let id, let nonce):
            try await client.uncordon(app, id, leaseNonce: nonce)
            return .done
        case .secretNames:
            return .names(list: try await client.secrets(app).secrets.map(\.name))
        case .createRelease(let image, let strategy):
            let release = try await client.createRelease(
                app, image: image, strategy: PlatformStrategy(rawValue: strategy.uppercased()) ?? .rolling,
                definition: [:])
            return .platformRelease(id: release.id, number: release.version)
        case .finishRelease(let id, let status):
            try await client.finishRelease(id, status: PlatformReleaseStatus(rawValue: status) ?? .failed)
            return .done
        case .releases(let limit):
            return .platformReleases(
                list: try await client.releases(app, limit: limit).map {
                    PlatformReleaseEntry(id: $0.id, number: $0.version, status: $0.status, image: $0.image)
                })
        }
    }
}

extension Failure {
    /// The platform's error as the machines know it.
    init(_ error: FlyError) {
        var expiry: Timestamp?
        let code: Failure.Code
        switch error.code {
        case .unauthorized: code = .unauthorized
        case .forbidden: code = .forbidden
        case .appNotFound, .machineNotFound, .notFound: code = .notFound
        case .leaseHeld(_, let expiresAt):
            code = .leaseHeld
            expiry = expiresAt
        case .conflict, .precondition, .nameTaken: code = .conflict
        case .insufficientCapacity: code = .capacity
        case .rateLimited: code = .rateLimited
        case .badRequest: code = .invalid
        case .deadlineExceeded: code = .timedOut
        case .serverError, .unreachable, .malformedAnswer: code = .unavailable
        case .cancelled: code = .cancelled
        }
        self.init(
            code, error.description, hint: error.hint, isAmbiguous: error.isAmbiguous, leaseExpiresAt: expiry)
    }
}
