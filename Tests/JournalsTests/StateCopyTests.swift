// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

@testable import Journals

@Suite struct StateCopyTests {
    let silence = Duration.seconds(60)
    let me = Holder.process(at: start)

    /// A store with runs that ended and did not, releases that went back and forth, and notices in every state.
    private func fill(_ place: Place, runs: Int = 6, entries: Int = 40) async throws {
        let store = try await place.open()
        for number in 0..<runs {
            let run = RunID("01R\(number)")
            try await store.openRun(header(run, at: start + .seconds(number)))
            for sequence in 0..<entries {
                try await store.append(
                    run: run, expectedSequence: Int64(sequence), kind: "event",
                    payload: payload("ü\(number)/\(sequence)"), at: start + .milliseconds(sequence))
            }
            if number % 3 != 2 {
                try await store.closeRun(
                    run, outcome: "verified", exitCode: 0, finishedAt: start + .seconds(60), summary: payload("end"))
            }
        }
        for number in [5, 6, 7] { try await store.recordRelease(release(number)) }
        for (number, state) in [(5, .verified), (6, .verified), (7, .failed), (5, .verified)]
            as [(Int, ReleaseRecord.State)]
        {
            try await store.markRelease(app, ReleaseNumber(number), state, at: start + .seconds(number))
        }
        try await store.recordRelease(release(1, app: "other"))
        for key in ["a", "b", "c"] {
            try await store.enqueue(key: key, channel: "slack", payload: payload(key), run: "01R0", at: start)
        }
        try await store.markSent("a", at: start + .seconds(1))
        try await store.markFailed("b", error: "refused", nextAttemptAt: start + .seconds(9))
        try await store.keepApproval(
            KeptApproval(
                nonce: "n1", app: app, commit: "c", document: payload("approval"), signature: "s",
                expiresAt: start + .seconds(9)))
        // The token of a hold given back goes along; so do tokens.
        _ = try await store.acquire(app, run: "01R0", holder: me, at: start, silence: silence)
        try await store.release(app, run: "01R0")
        try await store.close()
    }

    private func copy(_ from: Place, _ to: Place) async throws(StateError) -> StateCopy {
        try await StateStores.copy(from: from.url, to: to.url, at: start, silence: silence)
    }

    private func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// What a store holds, but for numbers that the database gives.
    private func contents(_ place: Place) async throws -> [String] {
        let store = try await place.open()
        var lines: [String] = []
        for record in try await store.allRuns() {
            let run = try await store.stored(record.header.run)
            lines.append(try text(run.record) + " \(run.head)")
            lines += run.rows.map { "\($0.entry) \($0.checksum.map { String($0, radix: 16) }.joined(separator: ","))" }
        }
        for app in try await store.apps() {
            lines += try await store.ledger(app).map { try text($0.record) + "\($0.history)" }
            lines += try await store.stateOrder(app).map { "\($0)" }
            lines.append(try text(try await store.history(app, limit: 9)) + " \(try await store.lastFence(app))")
        }
        lines += try await store.allNotices().map { "\($0)" }
        lines += try await store.allApprovals().map { "\($0)" }
        try await store.close()
        return lines
    }

    @Test func `from SQLite to PostgreSQL and back, nothing is another`() async throws {
        guard StoreKind.available.contains(.postgres) else { return }
        let (first, second, third) = (try await Place(.sqlite), try await Place(.postgres), try await Place(.sqlite))
        try await fill(first)
        let there = try await copy(first, second)
        #expect(there.runs == .init(copied: 6) && there.entries == .init(copied: 240))
        #expect(there.releases == .init(copied: 4) && there.notices == .init(copied: 3))
        #expect(try await copy(second, third).entries == .init(copied: 240))
        let original = try await contents(first)
        #expect(try await contents(second) == original)
        #expect(try await contents(third) == original)
        // Tokens grow on from where they were.
        let moved = try await second.open()
        #expect(try await moved.hold(app) == nil)
        #expect(
            try await moved.acquire(app, run: "01B", holder: me, at: start, silence: silence) == .acquired(fence: 2))
        #expect(try await moved.history(app, limit: 9).current?.number == ReleaseNumber(5))
    }

    @Test(arguments: StoreKind.available)
    func `a copy run again finds everything there`(kind: StoreKind) async throws {
        let (from, to) = (try await Place(.sqlite), try await Place(kind))
        try await fill(from)
        _ = try await copy(from, to)
        let before = try await to.dump()
        let again = try await copy(from, to)
        #expect(again.runs == .init(alreadyThere: 6) && again.entries == .init(alreadyThere: 240))
        #expect(again.releases == .init(alreadyThere: 4) && again.notices == .init(alreadyThere: 3))
        #expect(try await to.dump() == before)
    }

    @Test(arguments: StoreKind.available, 0..<3)
    func `a copy killed half-way is finished by another`(kind: StoreKind, round: Int) async throws {
        let (from, to) = (try await Place(.sqlite), try await Place(kind))
        try await fill(from, runs: 12)
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [source = from.url as String, target = to.url as String, round = round as Int] in
            _ = try await StateStores.copy(from: source, to: target, at: start, silence: .seconds(60)) { progress in
                guard progress.runs == 3 + round * 4 else { return }
                // In the midst of the next run, at a moment nobody chose.
                Thread.detachNewThread {
                    usleep(UInt32.random(in: 0...1500))
                    kill(getpid(), SIGKILL)
                }
                while round == 2 { sleep(1) }
            }
            // Too late to be killed in the midst: it ends the same way.
            kill(getpid(), SIGKILL)
        }
        let finished = try await copy(from, to)
        #expect(finished.runs.copied + finished.runs.alreadyThere == 12)
        #expect(finished.runs.alreadyThere >= 3)
        #expect(try await contents(to) == (try await contents(from)))
    }

    @Test(arguments: StoreKind.available)
    func `while somebody works at the source nothing is copied`(kind: StoreKind) async throws {
        let (from, to) = (try await Place(kind), try await Place(.sqlite))
        try await fill(from)
        let store = try await from.open()
        _ = try await store.acquire(app, run: "01R2", holder: me, at: start, silence: silence)
        let error = await failure { () throws(StateError) in try await copy(from, to) }
        #expect(error?.asAirbossError.code == .busy)
        #expect(error?.message.contains("01R2") == true)
        #expect(try await contents(to).isEmpty)
        // A hold that nobody has any more is in nobody's way, and stays where it is.
        var gone = me
        gone.processStart -= 1
        try await store.release(app, run: "01R2")
        _ = try await store.acquire(app, run: "01R2", holder: gone, at: start, silence: silence)
        #expect(try await copy(from, to).runs.copied == 6)
        #expect(try await to.open().hold(app) == nil)
        #expect(try await to.open().unfinishedRuns(app).map(\.header.run) == ["01R2", "01R5"])
    }

    @Test(arguments: StoreKind.available, ["run", "entry", "release", "notice"])
    func `what is something else at the target is not overwritten`(kind: StoreKind, what: String) async throws {
        let (from, to) = (try await Place(.sqlite), try await Place(kind))
        try await fill(from)
        let store = try await to.open()
        switch what {
        case "run": try await store.openRun(header("01R4", pipeline: "staging"))
        case "entry":
            _ = try await copy(from, to)
            try await store.append(
                run: "01R5", expectedSequence: 40, kind: "event", payload: payload("further"), at: start)
        case "release": try await store.recordRelease(release(6, run: "01Z"))
        default: try await store.enqueue(key: "b", channel: "email", payload: payload("b"), run: nil, at: start)
        }
        let before = try await to.dump()
        let error = await failure { () throws(StateError) in try await copy(from, to) }
        #expect(error?.code == .conflict)
        #expect(error?.message.contains("not the same") == true)
        if what == "run" || what == "entry" { #expect(try await to.dump() == before) }
    }

    @Test(arguments: StoreKind.available)
    func `a damaged journal is not passed on`(kind: StoreKind) async throws {
        let (from, to) = (try await Place(kind), try await Place(.sqlite))
        try await fill(from)
        try await from.tamper("UPDATE entry SET payload = ? WHERE run = '01R3' AND sequence = 40", Data("x".utf8))
        let error = await failure { () throws(StateError) in try await copy(from, to) }
        #expect(error?.code == .corrupt && error?.detail.contains("01R3") == true)
        #expect(try await to.open().run("01R3") == nil)
    }

    @Test func `a store is not copied into itself, nor from nothing`() async throws {
        let place = try await Place(.sqlite)
        let missing = await failure { () throws(StateError) in try await copy(place, place) }
        #expect(missing?.code == .cannotOpen)
        #expect(!FileManager.default.fileExists(atPath: place.location))
        try await fill(place)
        #expect(await failure { () throws(StateError) in try await copy(place, place) }?.code == .conflict)
    }

    @Test(arguments: StoreKind.available)
    func `a check counts everything and names what is wrong`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        try await fill(place)
        let store = try await place.open()
        _ = try await store.acquire(app, run: "01R2", holder: me, at: start, silence: silence)
        _ = try await store.joinQueue(app, run: "01W", holder: me, at: start)
        func check() async throws -> StateCheck {
            try await StateStores.check(place.url, at: start, silence: silence)
        }
        let sound = try await check()
        #expect(sound.problems == [])
        #expect(sound.runs == 6 && sound.unfinishedRuns == 2 && sound.entries == 240)
        #expect(sound.releases == 4 && sound.notices == 3 && sound.waitingNotices == 2)
        #expect(sound.holds.map(\.hold.run) == ["01R2"] && sound.holds.map(\.isAbandoned) == [false])
        #expect(sound.queue.map(\.run) == ["01W"])

        let before = try await place.dump()
        try await place.tamper("UPDATE entry SET payload = ? WHERE run = '01R3' AND sequence = 7", Data("x".utf8))
        try await place.tamper("DELETE FROM entry WHERE run = '01R1' AND sequence > 30")
        try await place.tamper("UPDATE release SET state = 'verified' WHERE number = 7")
        let damaged = try await place.dump()
        #expect(damaged != before)
        let problems = try await check().problems
        #expect(problems.count == 3)
        #expect(problems.contains { $0.contains("01R3") && $0.contains("entry 7") })
        #expect(problems.contains { $0.contains("01R1") && $0.contains("30") })
        #expect(problems.contains { $0.contains("v7") })
        #expect(try await place.dump() == damaged)
    }

    @Test(arguments: StoreKind.available)
    func `a migration says from where to where`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        let looked = await failure { () throws(StateError) in
            try await StateStores.check(place.url, at: start, silence: silence)
        }
        #expect(
            looked?.code == .cannotOpen || looked?.code == .olderVersion(found: 0, supported: PostgresSchema.version))
        let made = try await StateStores.migrate(place.url)
        #expect(made.from == nil && made.to > 0)
        let again = try await StateStores.migrate(place.url)
        #expect(again.from == made.to && again.to == made.to)
    }

    @Test(arguments: ["mysql://dana:secret@db/x", "sqlite:", "", "state.sqlite", "postgres:/x"])
    func `a URL of no kind is refused without its password`(url: String) async throws {
        let error = await failure { () throws(StateError) in try await StateStores.open(url) }
        #expect(error?.code == .unknownKind)
        #expect(error?.asAirbossError.code == .usage)
        #expect(error?.description.contains("secret") == false && error?.description.contains("dana") == false)
    }

    @Test func `a relative path starts at the folder`() async throws {
        let place = try await Place(.sqlite)
        let folder = URL(filePath: place.location).deletingLastPathComponent().path
        _ = try await StateStores.open("sqlite:deep/other.sqlite", relativeTo: folder)
        #expect(FileManager.default.fileExists(atPath: folder + "/deep/other.sqlite"))
    }
}
