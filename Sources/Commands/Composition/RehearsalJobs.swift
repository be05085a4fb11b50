// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

// A queue may be used from any thread; its type does not say so yet.
@preconcurrency internal import Dispatch
internal import Model
internal import Rehearsal
internal import Synchronization

/// Work over a range of numbers on several threads, which a signal ends early.
///
/// It computes for as long as it takes, so it has threads of its own: the cooperative pool has as many as the machine
/// has cores, and the signal must be heard meanwhile.
final class RehearsalJobs: Sendable {
    /// Numbers that a thread takes at once: enough that threads seldom meet, few enough that all end together.
    static let defaultChunk: UInt64 = 16

    private let next: Atomic<UInt64>
    private let end: UInt64
    private let jobs: Int
    private let chunk: UInt64
    private let stop: StopSignal

    /// - Parameter chunk: numbers that a thread takes at once; 1 where each takes long.
    init(_ range: Range<UInt64>, jobs: Int, until stop: StopSignal, atOnce chunk: UInt64 = defaultChunk) {
        next = Atomic(range.lowerBound)
        end = range.upperBound
        self.jobs = max(1, jobs)
        self.stop = stop
        self.chunk = chunk
    }

    /// Gives each number to `body` once, on some thread, with that thread's own part of the result; the parts come
    /// back.
    func run<Part: Sendable>(
        _ start: @escaping @Sendable () -> Part, _ body: @escaping @Sendable (UInt64, inout Part) -> Void
    ) async -> [Part] {
        await withTaskGroup(of: Part.self) { group in
            for number in 0..<jobs {
                group.addTask { [self] in
                    // A serial queue each: threads of a concurrent one are those that signals and timers are handled
                    // on.
                    let queue = DispatchQueue(label: "airboss.rehearsal.\(number)")
                    return await withCheckedContinuation { continuation in
                        queue.async { [self] in continuation.resume(returning: work(start(), body)) }
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    private func work<Part>(_ start: Part, _ body: (UInt64, inout Part) -> Void) -> Part {
        var part = start
        while stop.number == nil {
            let first = next.add(chunk, ordering: .relaxed).oldValue
            guard first < end else { break }
            for number in first..<min(first + chunk, end) where stop.number == nil { body(number, &part) }
        }
        return part
    }
}
