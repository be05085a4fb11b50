// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc
internal import Journals
internal import Model
internal import Orchestration

/// Appends events as a rolling deploy writes them, each durable before the next, then reads them all back.
///
/// usage: journal-benchmark FOLDER|postgres://… [EVENTS [RECORDED]]
/// With no EVENTS to write (0), what was written there before is only read. Of every hundred events RECORDED go into
/// the audit record as well, in the same transaction; none where it is left out.
let arguments = CommandLine.arguments
guard arguments.count > 1, let count = Int(arguments.count > 2 ? arguments[2] : "1000"), count >= 0 else {
    print("usage: journal-benchmark FOLDER|postgres://… [EVENTS [RECORDED]]")
    exit(64)
}
let recorded = arguments.count > 3 ? Int(arguments[3]) ?? 0 : 0
let url = arguments[1].hasPrefix("postgres") ? arguments[1] : "sqlite:" + arguments[1] + "/benchmark.sqlite"
let start = Timestamp(milliseconds: 1_790_000_000_000)
let store = try await StateStores.open(url)
let run = RunID("01K0000000000000000000000B")
try await store.openRun(
    RunHeader(
        run: run, pipeline: "benchmark", app: "benchmark", kind: "deploy", actor: "benchmark", reason: "measured",
        host: "localhost", processID: 1, startedAt: start, schema: 1))

/// The answer to the shared poll of a three-machine app: the event there are most of.
let observations = (1...3).map { index in
    Observation(
        id: MachineID("machine\(index)"), state: "started", instance: InstanceID("01K000000000000000000000\(index)"),
        operation: OperationID("\(run)/\(index)"), checksPassing: 1, checksReported: 1)
}
let encoder = JSONEncoder()
encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
/// What the audit tells of one machine's update.
func record(_ index: Int, at time: Timestamp) -> AuditRecord {
    AuditRecord(
        AuditEntry(
            .mutationAsked, of: "machine1", "update", before: ["image": "registry.fly.io/benchmark@sha256:aaaa"],
            after: ["action": .integer(Int64(index)), "image": "registry.fly.io/benchmark@sha256:bbbb"], at: time),
        by: AuditOrigin(
            actor: "benchmark", identities: ["shell": "benchmark"], host: "localhost", entryPoint: "shell",
            command: "airboss deploy benchmark --reason measured"),
        pipeline: "benchmark", app: "benchmark", run: run, reason: "measured")
}
var latencies: [Duration] = []
let began = ContinuousClock.now
for index in 0..<count {
    let event = RunEvent(
        at: start + .milliseconds(index + 1),
        kind: .answered(action: ActionID(index + 1), answer: .observations(list: observations)))
    let before = ContinuousClock.now
    let audit = index % 100 < recorded ? [record(index, at: event.at)] : []
    try await store.append(
        run: run, expectedSequence: Int64(index), kind: "answered", payload: try encoder.encode(event),
        at: event.at, fence: nil, audit: audit)
    latencies.append(ContinuousClock.now - before)
}
let appended = ContinuousClock.now - began

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

// As a recovery does it: with a connection that has nothing in memory yet.
let processorBefore = processorTime()
let reading = ContinuousClock.now
let journal = try await StateStores.open(url).events(run)
let read = ContinuousClock.now - reading
let processorReading = processorTime() - processorBefore
let decoded = try await RunReplay.events(journal.entries.map(\.payload))
let last = decoded.map(\.at).max() ?? start
let replayed = ContinuousClock.now - reading
let events = journal.entries.count
precondition((count == 0 || events == count) && journal.tornTail == nil && last == start + .milliseconds(events))

latencies.sort()
print("events: \(events)")
if count > 0 {
    print("append, durable: \(milliseconds(appended)) ms in all")
    print("append p50: \(milliseconds(latencies[count / 2])) ms, p99: \(milliseconds(latencies[count * 99 / 100])) ms")
}
print("read, checksums verified: \(milliseconds(read)) ms (processor \(milliseconds(processorReading)) ms)")
print("replay (read, checksums, decode): \(milliseconds(replayed)) ms")
