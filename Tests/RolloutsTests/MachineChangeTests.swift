// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Rollouts
import Testing

@Suite struct MachineChangeTests {
    private static let table = MachineChangeTable.table

    @Test func `every event has its line in every state`() {
        #expect(Self.table.mistakes.isEmpty, "\(Self.table.mistakes)")
        #expect(Self.table.missing.isEmpty, "no line for \(Self.table.missing)")
        #expect(Set(Self.table.rows.map { TransitionTable.base($0.from) }).count == 14)
    }

    @Test(arguments: table.rows)
    func `what an event does`(_ row: Transition) throws {
        var change = try MachineChangeTable.change(in: row.from)
        let before = change
        let (event, after) = try MachineChangeTable.event(row.event)
        #expect(MachineChangeTable.kind(of: event) == TransitionTable.base(row.event))
        #expect(
            MachineChangeTable.name(of: before.state).hasPrefix(TransitionTable.base(row.from)),
            "the table's setup is wrong")
        let now = MachineChangeTable.t0 + after
        guard let next = row.to else {
            #expect(throws: IllegalEvent.self) { try change.apply(event, at: now) }
            #expect(change.state == before.state, "an illegal event must change nothing")
            return
        }
        let actions = try change.apply(event, at: now)
        if next == "=" {
            #expect(change.state == before.state)
        } else {
            #expect(MachineChangeTable.name(of: change.state) == next)
        }
        #expect(actions.map(MachineChangeTable.name(of:)) == row.actions)
    }

    @Test(arguments: table.rows.filter { $0.to != nil })
    func `only a certain end counts as a result`(_ row: Transition) throws {
        var change = try MachineChangeTable.change(in: row.from)
        let (event, after) = try MachineChangeTable.event(row.event)
        _ = try change.apply(event, at: MachineChangeTable.t0 + after)
        let name = MachineChangeTable.name(of: change.state)
        #expect((change.result != nil) == (name.hasPrefix("releasing") || name.hasPrefix("finished")))
        #expect(change.isFinished == name.hasPrefix("finished"))
        if case .succeeded(let machine, let version) = change.result {
            #expect(machine == "m1")
            #expect(version == "m1-2")
        }
    }

    @Test func `a version is waited for as long as its time allows`() throws {
        var change = try MachineChangeTable.change(in: "starting")
        let again = try change.apply(.waitTimedOut, at: MachineChangeTable.t0 + .seconds(100))
        #expect(again == [.wait("m1", "m1-2", seconds: 20)])
        let last = try change.apply(.waitTimedOut, at: MachineChangeTable.t0 + .milliseconds(119_700))
        #expect(last == [.wait("m1", "m1-2", seconds: 1)])
    }

    @Test func `why it failed is told`() throws {
        let stories: [(String, String, String)] = [
            ("starting", "observed/exited", "the process exited with code 1 soon after its start"),
            ("starting", "observed/outOfMemory", "the process ran out of memory soon after its start"),
            ("starting", "observed/failed", "the machine failed to start"),
            ("starting", "observed/foreign", "something else changed the machine meanwhile"),
            ("starting", "woke/late", "it did not start within 2 min"),
            ("checking", "observed/late", "its checks did not pass within 2 min (no result yet)"),
            ("leasing", "failed.lease/forbidden", "no lease: not yours"),
            ("updating", "failed.update/refused", "the update was refused: bad config"),
            ("looking+last", "changed/untouched", "the platform took the update 5 times and never applied it"),
            ("pausing", "failed.refresh", "the lease was lost: down"),
            ("pausing", "abandon", "stopped before its update"),
            ("creating", "failed.create/capacity", "the machine could not be created: no room"),
        ]
        for (state, event, wanted) in stories {
            var change = try MachineChangeTable.change(in: state)
            let (event, after) = try MachineChangeTable.event(event)
            _ = try change.apply(event, at: MachineChangeTable.t0 + after)
            guard case .failed(let reason, _) = change.result else {
                Issue.record("\(state) has no failure")
                continue
            }
            #expect(reason == wanted)
        }
    }

    @Test func `every pause is twice as long as the one before`() throws {
        let now = MachineChangeTable.t0
        let failure = Failure(.conflict, "the machine is busy")
        let stories: [(String, MachineChange.Event, MachineChange.Event)] = [
            (
                "updating", .failed(step: .update, failure: failure),
                .changed(machine: MachineChangeTable.machine(instance: "m1-1", operation: ""))
            ),
            ("creating", .failed(step: .create, failure: failure), .absent),
        ]
        for (state, lost, seen) in stories {
            var change = try MachineChangeTable.change(in: state)
            let phase = change.phase
            for seconds in [1, 2, 4, 8] {
                _ = try change.apply(lost, at: now)
                let actions = try change.apply(seen, at: now)
                #expect(actions == [.wake(at: now + .seconds(seconds))])
                #expect(change.phase == phase)
                #expect(!change.isDisturbing)
                #expect(try change.apply(.woke, at: now + .seconds(seconds) - .milliseconds(1)) == [])
                // An update waits for its turn once more, a create does not.
                let woken = try change.apply(.woke, at: now + .seconds(seconds))
                #expect(try (woken + change.apply(.proceed, at: now + .seconds(seconds))).count == 1)
            }
            _ = try change.apply(lost, at: now)
            _ = try change.apply(seen, at: now)
            #expect(change.result != nil)
        }
    }

    /// Two wakes for one lease (one from before the update, one from after it) must not refresh it twice.
    @Test func `a lease is refreshed once however often it is due`() throws {
        var change = try MachineChangeTable.change(in: "starting")
        let due = MachineChangeTable.t0 + .seconds(41)
        #expect(try change.apply(.woke, at: due) == [.refreshLease(MachineChangeTable.lease)])
        #expect(try change.apply(.woke, at: due) == [])
        let refreshed = Lease(nonce: "n1", expiresAt: due + .seconds(60))
        #expect(try change.apply(.leased(lease: refreshed), at: due) == [.wake(at: due + .seconds(40))])
        #expect(try change.apply(.woke, at: due + .seconds(40)) == [.refreshLease(refreshed)])
    }
}

@Suite struct RolloutStateDiagramTests {
    @Test func `StateDiagram: the page shows what the code does`() throws {
        let complaint = try StateDiagramPage().check(
            part: "Rollouts",
            [
                (
                    MachineChangeTable.table,
                    "One machine's change, from lease to healthy. `failed.x` is the failure of call x."
                )
            ])
        #expect(complaint == nil, "\(complaint ?? "")")
    }
}
