// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
package import Model
package import Stages

/// A run as its journal leads to it: the events it was given, applied again.
package enum RunReplay {
    /// Applies the events of one run in their order.
    ///
    /// - Throws: ``IllegalEvent`` where an event can't follow those before it: the journal is damaged, or was written
    ///   by an Airboss that decided otherwise.
    package static func machine(
        _ request: RunRequest, events: some Sequence<RunEvent>
    ) throws(IllegalEvent) -> RunMachine {
        try machine(RunMachine(request), events: events)
    }

    /// Applies further events to what a run had come to.
    ///
    /// - Throws: as ``machine(_:events:)``.
    package static func machine(
        _ begun: RunMachine, events: some Sequence<RunEvent>
    ) throws(IllegalEvent) -> RunMachine {
        var machine = begun
        for event in events { _ = try machine.apply(event) }
        return machine
    }

    /// Replays all events of a run.
    ///
    /// - Throws: ``IllegalEvent``, `DecodingError`.
    package static func machine(_ request: RunRequest, payloads: [Data]) async throws -> RunMachine {
        try machine(request, events: try await events(payloads))
    }

    /// Goes on from what a run had come to, as its machine encodes itself, with the events behind it; nil where that is
    /// not a machine of this request, or anything is wrong after it: replaying all events then says what.
    ///
    /// - Parameters:
    ///   - state: of these very events, encoded by this very program; the caller has checked both.
    package static func machine(_ request: RunRequest, from state: Data, payloads: [Data]) async -> RunMachine? {
        // What is wrong is not said here: the replay of all events, which follows a nil, says it.
        guard let begun = try? JSONDecoder().decode(RunMachine.self, from: state), begun.request == request,
            let events = try? await events(payloads)
        else { return nil }
        return try? machine(begun, events: events)  // as above
    }

    /// Entries that are decoded in one go: most of a small entry's time is the decoder's preparation.
    private static let entriesAtOnce = 512

    /// Decodes a journal's entries, with every core that is free.
    ///
    /// - Throws: `DecodingError`, whose path begins with the entry's place among those decoded in one go.
    package static func events(_ payloads: [Data]) async throws -> [RunEvent] {
        let starts = stride(from: 0, to: payloads.count, by: entriesAtOnce)
        return try await withThrowingTaskGroup(of: (Int, [RunEvent]).self) { group in
            for start in starts {
                let share = payloads[start..<min(start + entriesAtOnce, payloads.count)]
                group.addTask {
                    var list = Data("[".utf8)
                    for (index, payload) in share.enumerated() {
                        if index > 0 { list.append(UInt8(ascii: ",")) }
                        list.append(payload)
                    }
                    list.append(UInt8(ascii: "]"))
                    return (start, try JSONDecoder().decode([RunEvent].self, from: list))
                }
            }
            let parts = try await group.reduce(into: []) { $0.append($1) }
            return parts.sorted { $0.0 < $1.0 }.flatMap(\.1)
        }
    }
}
