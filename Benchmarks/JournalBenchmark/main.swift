// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Commands
internal import CoreTestSupport
internal import FoundationEssentials
internal import Glibc
internal import Journals
internal import Model
internal import Stages

/// Plays a deploy of three machines against the simulated platform, with a soak so long that it has as many events as
/// are asked for, and keeps each of them as a run does: durable before the next, fenced, with its audit records, and
/// with a snapshot from time to time. Then recovers it, as the process that comes after a crash does.
///
/// usage: journal-benchmark FOLDER|postgres://… [EVENTS [RECORDED]]
/// With no EVENTS to write (0), what was written there before is only recovered. Of every hundred events RECORDED get
/// an audit record more than they have by themselves; none where it is left out.
let arguments = CommandLine.arguments
guard arguments.count > 1, let count = Int(arguments.count > 2 ? arguments[2] : "1000"), count >= 0 else {
    print("usage: journal-benchmark FOLDER|postgres://… [EVENTS [RECORDED]]")
    exit(64)
}
let recorded = arguments.count > 3 ? Int(arguments[3]) ?? 0 : 0
let url = arguments[1].hasPrefix("postgres") ? arguments[1] : "sqlite:" + arguments[1] + "/benchmark.sqlite"
let request = Sample.request {
    $0.verify.interval = .seconds(1)
    $0.verify.soak = .seconds(max(count, 60))
}
let audited = AuditedRun(
    origin: AuditOrigin(
        actor: "benchmark", identities: ["shell": "benchmark"], host: "localhost", entryPoint: "shell",
        command: "airboss deploy production --reason because"),
    pipeline: request.pipeline, app: request.app, run: request.run, reason: request.reason)

/// What the audit tells of one machine's update.
func record(_ index: Int, at time: Timestamp) -> AuditEntry {
    AuditEntry(
        .mutationAsked, of: "machine1", "update", before: ["image": "registry.fly.io/benchmark@sha256:aaaa"],
        after: ["action": .integer(Int64(index)), "image": "registry.fly.io/benchmark@sha256:bbbb"], at: time)
}

func milliseconds(_ duration: Duration) -> String {
    String(Double(Int(duration.inSeconds * 100_000)) / 100)
}

/// The time that the processor spent on this process, which does not depend on what else the machine does.
func processorTime() -> Duration {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return .seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + .microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
}

func show(_ name: String, _ latencies: [Duration]) {
    guard !latencies.isEmpty else { return }
    let sorted = latencies.sorted()
    let middle = sorted[sorted.count / 2]
    let late = sorted[sorted.count * 99 / 100]
    print("append\(name), \(sorted.count): p50 \(milliseconds(middle)) ms, p99 \(milliseconds(late)) ms")
}

/// Appends the run's events; returns what it has come to.
func write() async throws -> RunMachine {
    var fly = SimulatedFly(Sample.fleet(3), behaviours: [Sample.newDigest: .init()])
    fly.advance(to: Sample.start)
    var simulation = Simulation(request, on: fly)
    let store = try await StateStores.open(url)
    let holder = Holder.process(at: Sample.start)
    guard
        case .acquired(let token) = try await store.acquire(
            request.app, run: request.run, holder: holder, at: Sample.start, silence: .seconds(1))
    else {
        print("another process works there")
        exit(13)
    }
    let fence = Fence(app: request.app, run: request.run, token: token)
    try await store.openRun(
        RunHeader(
            run: request.run, pipeline: request.pipeline, app: request.app, kind: request.kind.rawValue,
            actor: request.actor, reason: request.reason, host: holder.host, processID: holder.processID,
            startedAt: Sample.start, schema: LiveJournal.schema))
    let journal = LiveJournal(store, fence: fence, audited: audited, after: 0)
    try await journal.begin(request, at: Sample.start)
    var trail = AuditTrail()
    var machine = RunMachine(request)
    var plain: [Duration] = []
    var withRecords: [Duration] = []
    var keeping = Duration.zero
    var index = 0
    while index < count {
        let known = simulation.history.count
        try simulation.step()
        for (event, _) in simulation.history[known...] where index < count {
            index += 1
            var after = machine
            let agenda = try after.apply(event)
            var audit = trail.entries(for: event, agenda, before: machine, after: after)
            if index % 100 < recorded { audit.append(record(index, at: event.at)) }
            let before = ContinuousClock.now
            try await journal.append(event, audit: audit)
            let appended = ContinuousClock.now
            await journal.reached(after)
            keeping += ContinuousClock.now - appended
            if audit.isEmpty { plain.append(appended - before) } else { withRecords.append(appended - before) }
            machine = after
        }
    }
    show(", durable", plain)
    show(" with audit records, durable", withRecords)
    print("snapshots: \(milliseconds(keeping)) ms in all")
    return machine
}

/// Recovers the run as a process does that has nothing in memory yet: opens the store, reads, verifies, replays.
func recover(_ name: String, build: String?) async throws -> RunMachine {
    let processor = processorTime()
    let begin = ContinuousClock.now
    let store = try await StateStores.open(url)
    guard let run = try await store.unfinishedRun(request.app) else {
        print("no run was written there")
        exit(64)
    }
    let replayed = try await LiveJournal.read(run, from: store, build: build)
    let took = ContinuousClock.now - begin
    print(
        "recovery \(name): \(milliseconds(took)) ms (processor \(milliseconds(processorTime() - processor)) ms),"
            + " \(replayed.lastSequence) entries verified, \(replayed.applied) events applied")
    return replayed.machine
}

let reached = count > 0 ? try await write() : nil
let processor = processorTime()
let begin = ContinuousClock.now
let store = try await StateStores.open(url)
let entries = try await store.events(request.run).entries
let took = ContinuousClock.now - begin
let bytes = entries.reduce(0) { $0 + $1.payload.count }
print(
    "reading, checksums verified: \(milliseconds(took)) ms (processor \(milliseconds(processorTime() - processor)) ms),"
        + " \(entries.count) entries, \(bytes / max(1, entries.count)) bytes each")
let quick = try await recover("from the last snapshot", build: BuildIdentity.current)
let whole = try await recover("without a snapshot", build: nil)
precondition(quick == whole && (reached ?? whole) == whole && !whole.isFinished)
