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

    /// What is wrong with one of the events that a run is to be replayed from.
    package struct BadEvent: Error {
        /// Its place among those given; 0 for the first.
        package var index: Int
        package var reason: Reason

        package enum Reason: Sendable {
            case unreadable(DecodingError)
            /// It can't follow those before it.
            case illegal(IllegalEvent)
        }

        package init(index: Int, reason: Reason) {
            self.index = index
            self.reason = reason
        }
    }

    /// Replays all events of a run.
    ///
    /// - Throws: ``BadEvent``.
    package static func machine(_ request: RunRequest, payloads: [Data]) async throws -> RunMachine {
        try await machine(RunMachine(request), payloads: payloads)
    }

    /// Goes on from what a run had come to, as its machine encodes itself, with the events behind it; nil where that is
    /// not a machine of this request, or anything is wrong after it: replaying all events then says what.
    ///
    /// - Parameters:
    ///   - state: of these very events, encoded by this very program; the caller has checked both.
    package static func machine(_ request: RunRequest, from state: Data, payloads: [Data]) async -> RunMachine? {
        // What is wrong is not said here: the replay of all events, which follows a nil, says it.
        guard let begun = try? JSONDecoder().decode(RunMachine.self, from: state), begun.request == request else {
            return nil
        }
        return try? await machine(begun, payloads: payloads)  // as above
    }

    /// Applies events as they are decoded, in their order.
    private static func machine(_ begun: RunMachine, payloads: [Data]) async throws -> RunMachine {
        try await withThrowingTaskGroup(of: (start: Int, events: Result<[RunEvent], BadEvent>).self) { group in
            for start in stride(from: 0, to: payloads.count, by: entriesAtOnce) {
                let share = payloads[start..<min(start + entriesAtOnce, payloads.count)]
                group.addTask { (start, Result { () throws(BadEvent) in try decode(share) }) }
            }
            var machine = begun
            var next = 0
            // Decoded before those in front of them were. What is wrong is told of the first that is.
            var waiting: [Int: Result<[RunEvent], BadEvent>] = [:]
            while let (start, events) = try await group.next() {
                waiting[start] = events
                while let events = waiting.removeValue(forKey: next) {
                    for event in try events.get() {
                        do throws(IllegalEvent) {
                            _ = try machine.apply(event)
                        } catch {
                            throw BadEvent(index: next, reason: .illegal(error))
                        }
                        next += 1
                    }
                }
            }
            return machine
        }
    }

    /// Entries that are decoded in one go.
    private static let entriesAtOnce = 512

    /// Decodes some of a journal's entries; what ``PlainEvent`` does not take goes to `JSONDecoder`, all in one list,
    /// for most of its time is preparation.
    private static func decode(_ share: ArraySlice<Data>) throws(BadEvent) -> [RunEvent] {
        var events: [RunEvent?] = []
        events.reserveCapacity(share.count)
        var others: [Int] = []
        for (index, payload) in zip(share.indices, share) {
            let event = PlainEvent.read(payload)
            if event == nil { others.append(index) }
            events.append(event)
        }
        for (index, event) in zip(others, try decode(others, of: share)) { events[index - share.startIndex] = event }
        return events.compactMap(\.self)
    }

    private static func decode(_ indices: [Int], of share: ArraySlice<Data>) throws(BadEvent) -> [RunEvent] {
        if indices.count > 1 {
            var list = Data("[".utf8)
            for index in indices {
                if index != indices[0] { list.append(UInt8(ascii: ",")) }
                list.append(share[index])
            }
            list.append(UInt8(ascii: "]"))
            // Where it can't be read, or an entry is not one event, each by itself says which and why.
            if let events = try? JSONDecoder().decode([RunEvent].self, from: list), events.count == indices.count {
                return events
            }
        }
        var events: [RunEvent] = []
        for index in indices {
            do {
                events.append(try JSONDecoder().decode(RunEvent.self, from: share[index]))
            } catch let error as DecodingError {
                throw BadEvent(index: index, reason: .unreadable(error))
            } catch {
                let other = DecodingError.Context(codingPath: [], debugDescription: "\(error)", underlyingError: error)
                throw BadEvent(index: index, reason: .unreadable(.dataCorrupted(other)))
            }
        }
        return events
    }
}
