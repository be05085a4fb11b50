// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The platform as a value: it takes requests and events with their time and returns answers and effects. It reads no
/// clock, draws no randomness and never waits; equal histories give equal worlds.
package struct World: Hashable, Sendable {
    /// What can be set about the platform.
    package struct Settings: Hashable, Codable, Sendable {
        package var isRateLimited = true
        package var defaultRegion = "iad"
        /// The pause before the first automatic restart; it doubles with each further one.
        package var firstRestartPause = Duration.milliseconds(500)
        package var longestRestartPause = Duration.seconds(30)
        /// A guest that lived this long starts with a fresh count of restarts.
        package var restartCountResetsAfter = Duration.seconds(60)
        /// Whether a metadata write during an update is lost, as was observed on the platform.
        package var losesMetadataWritesDuringUpdates = true
        /// How long a machine with `autostop` runs without a request before it is stopped; nil never stops one.
        package var autostopsAfter: Duration?

        package init() {}
    }

    /// Calls counted since this world was made or loaded.
    package struct Statistics: Hashable, Codable, Sendable {
        /// By app, then by call; calls without an app count under an empty name.
        package var calls: [String: [WorldCall.Kind: Int]] = [:]
        /// Calls answered 429, by app.
        package var throttled: [String: Int] = [:]

        package init() {}
    }

    struct Waiter: Hashable, Sendable {
        var request: UInt64
        var targets: [WaitTarget]
        var version: String?
        var deadline: Timestamp
        /// The fault that hit the call, if any.
        var fault: FaultRule.Effect?
    }

    struct BucketKey: Hashable, Sendable {
        var call: WorldCall.Kind
        var identifier: String
    }

    package var settings = Settings()
    package var faults = WorldFaults()
    package internal(set) var apps: [String: WorldApp] = [:]
    package internal(set) var machines: [String: WorldMachine] = [:]
    package private(set) var statistics = Statistics()
    var ids: IDSupply
    /// By machine.
    var waiters: [String: [Waiter]] = [:]
    private var buckets: [BucketKey: TokenBucket] = [:]
    /// Requests of apps' users that are being answered, by machine; only machines that stop when idle are counted.
    var visits: [String: Int] = [:]
    /// When the next look at an idle machine is due, by machine.
    var idleLooks: [String: Timestamp] = [:]
    /// Collected while one request or event is handled; empty in between.
    var effects: [WorldEffect] = []

    package init(seed: UInt64) {
        ids = IDSupply(seed: seed)
    }

    // MARK: Requests

    /// Handles one API call that arrives at `now`.
    package mutating func handle(_ request: WorldRequest, at now: Timestamp) -> WorldOutcome {
        statistics.calls[request.app, default: [:]][request.call.kind, default: 0] += 1
        if let wait = takeToken(for: request, at: now) {
            statistics.throttled[request.app, default: 0] += 1
            let seconds = max(1, Int((wait.wholeMilliseconds + 999) / 1000))
            return refused(WorldFailure(429, "rate limit exceeded", retryAfterSeconds: seconds))
        }
        let fault = faults.strike(request)
        switch fault {
        case .refuse(let status, let message, let retryAfter):
            return refused(WorldFailure(status, message, retryAfterSeconds: retryAfter))
        case .dropBeforeApplying:
            return WorldOutcome(response: WorldResponse(.done, delivery: .lost), effects: [])
        case .hang(let isApplied):
            // A wait changes nothing, and its late answer would be one after all.
            if isApplied, request.call.kind != .waitMachine { _ = answer(request, fault: fault, at: now) }
            return WorldOutcome(response: nil, effects: takeEffects())
        case .duplicate(let answersSecond) where request.call.kind != .waitMachine:
            let first = answer(request, fault: fault, at: now)
            let second = answer(request, fault: fault, at: now)
            let told = answersSecond ? second : first
            return WorldOutcome(response: told.map { WorldResponse($0) }, effects: takeEffects())
        case .refuseAfterApplying, .dropAfterApplying, .delay, .html, .truncate, .noise, .duplicate, nil:
            break
        }
        let answer = answer(request, fault: fault, at: now)
        return WorldOutcome(response: answer.map { World.response($0, under: fault) }, effects: takeEffects())
    }

    /// Nil where the answer has to wait.
    private mutating func answer(
        _ request: WorldRequest, fault: FaultRule.Effect?, at now: Timestamp
    ) -> WorldAnswer? {
        do throws(WorldFailure) {
            return try dispatch(request, fault: fault, at: now)
        } catch {
            return .failure(error)
        }
    }

    /// Applies what happened outside the API at `now`.
    package mutating func apply(_ event: WorldEvent, at now: Timestamp) -> [WorldEffect] {
        switch event {
        case .guestStarted(let machine, let boot, let digest):
            guestStarted(machine, boot: boot, digest: digest, at: now)
        case .guestFailedToStart(let machine, let boot, let reason):
            guestFailedToStart(machine, boot: boot, reason: reason, at: now)
        case .guestExited(let machine, let boot, let code, let signal, let isOutOfMemory):
            guestExited(
                machine, boot: boot, code: code, signal: signal, isOutOfMemory: isOutOfMemory, at: now)
        case .guestLogged(let machine, let line, let isError):
            log(line, isError: isError, machine: machine, at: now)
        case .checkReported(let machine, let boot, let name, let standing, let output):
            checkReported(machine, boot: boot, name: name, standing: standing, output: output, at: now)
        case .visitorWaits(let app):
            startForVisitor(of: app, at: now)
        case .visitBegan(let machine):
            visits[machine, default: 0] += 1
        case .visitEnded(let machine):
            visitEnded(machine, at: now)
        case .hostChanged(let machine, let status):
            machines[machine]?.hostStatus = status
        case .callerLeft(let request):
            dropWaiter(of: request)
        case .woke:
            wake(at: now)
        case .resumed:
            resume(at: now)
        }
        return takeEffects()
    }

    /// How a fault changes the answer's journey.
    static func response(_ answer: WorldAnswer, under fault: FaultRule.Effect?) -> WorldResponse {
        switch fault {
        case nil, .refuse, .dropBeforeApplying, .duplicate, .hang: WorldResponse(answer)
        case .refuseAfterApplying(let status, let message): WorldResponse(.failure(WorldFailure(status, message)))
        case .dropAfterApplying: WorldResponse(answer, delivery: .lost)
        case .delay(let milliseconds): WorldResponse(answer, delay: .milliseconds(milliseconds))
        case .html(let status): WorldResponse(answer, delivery: .html(status: status))
        case .truncate: WorldResponse(answer, delivery: .truncated)
        case .noise(let bytes): WorldResponse(answer, delivery: .noise(bytes: bytes))
        }
    }

    private func refused(_ failure: WorldFailure) -> WorldOutcome {
        WorldOutcome(response: WorldResponse(.failure(failure)), effects: [])
    }

    private mutating func takeEffects() -> [WorldEffect] {
        let taken = effects
        effects = []
        return taken
    }

    private mutating func takeToken(for request: WorldRequest, at now: Timestamp) -> Duration? {
        guard settings.isRateLimited, let rate = request.call.kind.rate else { return nil }
        // App deletes share one budget; everything else is counted by machine or app.
        let identifier = request.call.kind == .deleteApp ? "" : request.machine ?? request.app
        let key = BucketKey(call: request.call.kind, identifier: identifier)
        return buckets[key, default: TokenBucket(rate: rate, at: now)].take(at: now)
    }

    // MARK: Dispatch

    private mutating func dispatch(
        _ request: WorldRequest, fault: FaultRule.Effect?, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer? {
        switch request.call {
        case .createApp(let organization):
            return try createApp(request.app, organization: organization, caller: request.caller, at: now)
        case .listApps(let organization):
            return .apps(listApps(of: organization, caller: request.caller))
        case .updateRelease(let id, let status, let metadata):
            return try updateRelease(id, status: status, metadata: metadata, caller: request.caller)
        case .getApp, .deleteApp, .listMachines, .createMachine, .listSecrets, .setSecrets, .createRelease,
            .listReleases, .currentRelease, .readLogs:
            return try dispatchToApp(request, at: now)
        case .getMachine, .updateMachine, .destroyMachine, .startMachine, .stopMachine, .restartMachine,
            .suspendMachine, .signalMachine, .cordonMachine, .uncordonMachine, .waitMachine, .listVersions,
            .listEvents, .acquireLease, .getLease, .releaseLease, .getMetadata, .setMetadata:
            return try dispatchToMachine(request, fault: fault, at: now)
        }
    }

    private mutating func dispatchToApp(
        _ request: WorldRequest, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer {
        let app = try authorizedApp(request)
        switch request.call {
        case .getApp:
            return .app(app, machineCount: liveMachines(of: app).count)
        case .deleteApp:
            return deleteApp(app, at: now)
        case .listMachines(let filter):
            return .machines(list(app, filter))
        case .createMachine(let input):
            return try createMachine(in: app, input, caller: request.caller, at: now)
        case .listSecrets(let showsValues):
            let values = showsValues ? app.secretValues(version: app.secretsVersion) : nil
            return .secrets(app.secrets, values: values, version: app.secretsVersion)
        case .setSecrets(let values):
            return setSecrets(values, of: app.name, at: now)
        case .createRelease(let image, let strategy, let definition):
            return createRelease(
                in: app.name, image: image, strategy: strategy, definition: definition, caller: request.caller, at: now)
        case .listReleases(let limit):
            return .releases(Array(app.releases.reversed().prefix(max(0, limit))))
        case .currentRelease:
            guard let release = app.releases.last(where: { $0.status == "complete" }) else {
                throw WorldFailure(404, "app \(app.name) has no current release")
            }
            return .release(release, isNew: false)
        case .readLogs(let start, let machine, let region, let limit):
            let page = app.log.page(from: start, limit: limit) { line in
                (machine == nil || machine == line.machine) && (region == nil || region == line.region)
            }
            return .logs(page.lines, next: page.next)
        case .createApp, .listApps, .updateRelease, .getMachine, .updateMachine, .destroyMachine, .startMachine,
            .stopMachine, .restartMachine, .suspendMachine, .signalMachine, .cordonMachine, .uncordonMachine,
            .waitMachine, .listVersions, .listEvents, .acquireLease, .getLease, .releaseLease, .getMetadata,
            .setMetadata:
            preconditionFailure("\(request.call.kind) is no call on an app alone")
        }
    }

    private mutating func dispatchToMachine(
        _ request: WorldRequest, fault: FaultRule.Effect?, at now: Timestamp
    ) throws(WorldFailure) -> WorldAnswer? {
        let app = try authorizedApp(request)
        let id = request.machine ?? ""
        guard let machine = machines[id], machine.app == app.name else {
            throw WorldFailure(404, "machine not found")
        }
        if request.call.kind.isGuardedByLease {
            // Its lease has ended with it: whoever held one is told what became of the machine.
            guard machine.state != .destroyed else { throw WorldFailure(404, "machine not found") }
            try checkLease(of: machine, nonce: request.nonce, at: now)
        }
        switch request.call {
        case .getMachine: return .machine(machine, nonce: nil)
        case .updateMachine(let input): return try updateMachine(id, input, caller: request.caller, at: now)
        case .destroyMachine(let force): return try destroyMachine(id, force: force, at: now)
        case .startMachine: return try startMachine(id, at: now)
        case .stopMachine(let signal, let timeout):
            return try stopMachine(id, signal: signal, timeout: timeout, at: now)
        case .restartMachine(let signal, let timeout, let forces):
            return try restartMachine(id, signal: signal, timeout: timeout, forces: forces, at: now)
        case .suspendMachine: return try suspendMachine(id, at: now)
        case .signalMachine(let signal): return try signalMachine(id, signal: signal)
        case .cordonMachine: return setCordon(id, to: true, at: now)
        case .uncordonMachine: return setCordon(id, to: false, at: now)
        case .waitMachine(let targets, let version, let timeout):
            let waiter = Waiter(
                request: request.id, targets: targets, version: version, deadline: now + timeout, fault: fault)
            return try wait(machine, waiter)
        case .listVersions: return .versions(machine.versions)
        case .listEvents(let limit): return .events(Array(machine.events.prefix(max(0, limit))))
        case .acquireLease(let timeToLive, let note):
            return try acquireLease(
                id, nonce: request.nonce, timeToLive: timeToLive, note: note, caller: request.caller, at: now)
        case .getLease:
            guard let lease = machine.liveLease(at: now) else { throw WorldFailure(404, "lease not found") }
            return .lease(lease, isNew: false)
        case .releaseLease: return try releaseLease(id, nonce: request.nonce, at: now)
        case .getMetadata: return .metadata(machine.config.metadata)
        case .setMetadata(let values, let version):
            return try setMetadata(id, values, machineVersion: version, at: now)
        case .createApp, .getApp, .listApps, .deleteApp, .listMachines, .createMachine, .listSecrets, .setSecrets,
            .createRelease, .updateRelease, .listReleases, .currentRelease, .readLogs:
            preconditionFailure("\(request.call.kind) is no call on a machine")
        }
    }

    private func authorizedApp(_ request: WorldRequest) throws(WorldFailure) -> WorldApp {
        guard let app = apps[request.app] else { throw WorldFailure(404, "app not found") }
        try authorize(request.caller, for: app.organization)
        return app
    }

    func authorize(_ caller: WorldCaller, for organization: String) throws(WorldFailure) {
        guard caller.organizations?.contains(organization) ?? true else { throw WorldFailure(403, "unauthorized") }
    }

    // MARK: Looking in

    /// The machines of the app that take traffic now, in the order of their making.
    package func routableMachines(of app: String) -> [WorldMachine] {
        (apps[app]?.machines ?? []).compactMap { machines[$0].flatMap { $0.isRoutable ? $0 : nil } }
    }

    func liveMachines(of app: WorldApp) -> [WorldMachine] {
        app.machines.compactMap { machines[$0] }.filter { $0.state != .destroyed }
    }

    /// Forgets the calls counted so far.
    package mutating func resetStatistics() {
        statistics = Statistics()
    }
}

extension WorldFailure: Error {}

/// A world is kept without what lives only while it runs: waiting callers, rate budgets and counts.
extension World: Codable {
    enum CodingKeys: String, CodingKey {
        case settings, faults, apps, machines, ids
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(seed: 0)
        ids = try container.decode(IDSupply.self, forKey: .ids)
        settings = try container.decode(Settings.self, forKey: .settings)
        faults = try container.decode(WorldFaults.self, forKey: .faults)
        apps = try container.decode([String: WorldApp].self, forKey: .apps)
        machines = try container.decode([String: WorldMachine].self, forKey: .machines)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(ids, forKey: .ids)
        try container.encode(settings, forKey: .settings)
        try container.encode(faults, forKey: .faults)
        try container.encode(apps, forKey: .apps)
        try container.encode(machines, forKey: .machines)
    }
}
