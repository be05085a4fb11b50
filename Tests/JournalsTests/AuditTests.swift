// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Journals

@Suite struct AuditTests {
    private static let origin = AuditOrigin(
        actor: "dana", identities: ["git": "Dana <dana@example.com>", "shell": "dana"], host: "laptop",
        entryPoint: "shell", command: "airboss deploy production --reason Ünïcode")

    private func record(_ number: Int, run: RunID? = "01A", pipeline: String = "production") -> AuditRecord {
        AuditRecord(
            AuditEntry(
                .mutationAsked, of: "m\(number)", "update", before: ["image": "a"],
                after: ["action": .integer(Int64(number))],
                at: start + .seconds(number)),
            by: AuditTests.origin, pipeline: pipeline, app: app, run: run, reason: "a \"reason\"\nof two lines")
    }

    private func append(_ store: any SQLStore, _ sequence: Int64, _ records: [AuditRecord], run: RunID = "01A")
        async throws(StateError)
    {
        try await store.append(
            run: run, expectedSequence: sequence - 1, kind: "event", payload: payload("\(sequence)"), at: start,
            fence: nil, audit: records)
    }

    /// A store with five records: four of a run's events, one of no run.
    private func makePlace(_ kind: StoreKind) async throws -> Place {
        let place = try await Place(kind)
        let store = try await place.open()
        try await store.openRun(header("01A"))
        try await append(store, 1, [record(1), record(2)])
        try await append(store, 2, [])
        try await append(store, 3, [record(3)])
        try await store.audit([record(4, run: nil, pipeline: "")])
        try await append(store, 4, [record(5)])
        try await store.close()
        return place
    }

    private func verdict(_ place: Place, _ heads: [AuditHead] = []) async throws -> AuditVerdict {
        let store = try await place.open()
        let verdict = try await store.verifyAudit(against: heads)
        try await store.close()
        return verdict
    }

    @Test(arguments: StoreKind.available)
    func `records are kept in one chain, with the events they are about`(kind: StoreKind) async throws {
        let place = try await makePlace(kind)
        let store = try await place.open()
        let verdict = try await store.verifyAudit(against: [])
        #expect(verdict.isWhole && verdict.records == 5, "\(verdict.findings)")
        let head = try #require(verdict.heads.first)
        #expect(verdict.heads.count == 1 && head.sequence == 5)
        #expect(AuditHead(head.description) == head)

        let all = try await store.auditRecords(AuditFilter(), limit: 99)
        #expect(all.map(\.sequence) == [5, 4, 3, 2, 1])
        #expect(all.last?.json["reason"]?.string == "a \"reason\"\nof two lines")
        #expect(all.first?.json["previous"]?.string == all[1].hash && all.first?.hash == head.hash)
        #expect(try await store.auditRecords(AuditFilter(run: "01A"), limit: 99).count == 4)
        #expect(try await store.auditRecords(AuditFilter(pipeline: "production"), limit: 2).map(\.sequence) == [5, 3])
        let late = AuditFilter(since: start + .seconds(4))
        #expect(try await store.auditRecords(late, limit: 99).map(\.sequence) == [5, 4])
        // One line each, as it is exported.
        #expect(all.allSatisfy { !$0.line.contains("\n") && AuditChain.hash($0.document) == $0.hash })
    }

    @Test(arguments: StoreKind.available)
    func `an event that is refused leaves no record, and one that is repeated no second`(kind: StoreKind) async throws {
        let place = try await makePlace(kind)
        let store = try await place.open()
        let conflict = await failure { () throws(StateError) in try await append(store, 9, [record(9)]) }
        #expect(conflict?.code == .sequenceConflict(expected: 8, found: 4))
        let fenced = await failure { () throws(StateError) in
            try await store.append(
                run: "01A", expectedSequence: 4, kind: "event", payload: payload("5"), at: start,
                fence: Fence(app: app, run: "01A", token: 7), audit: [record(9)])
        }
        if case .fenced = fenced?.code {} else { Issue.record("\(String(describing: fenced))") }
        try await append(store, 4, [record(5)])  // its answer was lost
        try await store.audit([record(4, run: nil, pipeline: "")])
        let verdict = try await store.verifyAudit(against: [])
        #expect(verdict.isWhole && verdict.records == 5)
    }

    /// Every column of every record, one at a time, and every pair that could be swapped.
    @Test(arguments: StoreKind.available)
    func `any edit, removal or reordering of any record is found, and where`(kind: StoreKind) async throws {
        let place = try await makePlace(kind)
        let store = try await place.open()
        let edits = [
            "at = at + 1", "kind = 'gate.decided'", "pipeline = 'staging'", "app = 'other'", "app = NULL",
            "run = NULL", "run = '01B'", "sequence = sequence + 100", "checksum = ?", "document = ?",
        ]
        let original = try await place.dump()
        var damages = 0
        /// Does the damage in a transaction of its own, looks, and puts everything back.
        func check(_ statements: [(String, Data?)], finds sequence: Int64?) async throws {
            damages += 1
            let rows = try await store.read { session in
                try session.rows("SELECT * FROM audit ORDER BY sequence").map(\.values)
            }
            _ = try await store.write([.audit]) { session in
                for (sql, value) in statements { try session.execute(sql, value.map { [$0] } ?? []) }
            }
            let findings = try await store.verifyAudit(against: []).findings
            #expect(!findings.isEmpty, "\(statements)")
            if let sequence {
                #expect(findings.contains { $0.sequence == sequence }, "\(statements): \(findings)")
                #expect(findings.allSatisfy { !$0.detail.isEmpty && !$0.detail.hasSuffix(".") })
            }
            _ = try await store.write([.audit]) { session in
                try session.execute("DELETE FROM audit", [])
                for row in rows {
                    try session.execute(
                        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row.map { $0.convertible })
                }
            }
        }
        for number in 1...5 as ClosedRange<Int64> {
            for edit in edits {
                let filler: Data? =
                    edit == "checksum = ?"
                    ? Data(repeating: 7, count: 32) : edit == "document = ?" ? Data("{}".utf8) : nil
                // What names nothing already stays the same when nothing is put there.
                if number == 4, edit == "run = NULL" { continue }
                try await check([("UPDATE audit SET \(edit) WHERE sequence = \(number)", filler)], finds: number)
            }
            try await check([("DELETE FROM audit WHERE sequence = \(number)", nil)], finds: number)
            try await check([("DELETE FROM audit WHERE sequence >= \(number)", nil)], finds: number)
            for other in (number + 1)..<6 {
                try await check(
                    [
                        ("UPDATE audit SET sequence = 99 WHERE sequence = \(number)", nil),
                        ("UPDATE audit SET sequence = \(number) WHERE sequence = \(other)", nil),
                        ("UPDATE audit SET sequence = \(other) WHERE sequence = 99", nil),
                    ], finds: number)
            }
        }
        // Every bit of one document.
        let document = try await store.auditRecords(AuditFilter(), limit: 5)[2].document
        for bit in stride(from: 0, to: document.count * 8, by: kind == .sqlite ? 1 : 37) {
            var flipped = document
            flipped[bit / 8] ^= 1 << (bit % 8)
            try await check([("UPDATE audit SET document = ? WHERE sequence = 3", flipped)], finds: 3)
        }
        #expect(try await place.dump() == original)
        #expect(try await store.verifyAudit(against: []).isWhole)
        print("\(kind): \(damages) damages, all found")
    }

    @Test(arguments: StoreKind.available)
    func `a record made anew, with all hashes after it, is found by a head noted elsewhere`(kind: StoreKind)
        async throws
    {
        let place = try await makePlace(kind)
        let noted = try #require(try await verdict(place).heads.first)
        let store = try await place.open()
        let rows = try await store.auditRows(of: noted.chain, after: 0, limit: 9)
        // Whoever can write the database, and knows how the chain is made, tells another story from record 3 on.
        var previous = rows[1].checksum
        for number in 3...5 as ClosedRange<Int64> {
            let forged = AuditChain.seal(
                record(Int(number) * 10, run: number == 4 ? nil : "01A"), chain: noted.chain, sequence: number,
                after: previous)
            let (document, checksum) = (forged.document, forged.checksum)
            _ = try await store.write([.audit]) { session in
                try session.execute(
                    "UPDATE audit SET document = ?, checksum = ?, at = ?, pipeline = 'production' WHERE sequence = ?",
                    [document, checksum, forged.at.milliseconds, number])
            }
            // Before the head is forged as well, the record after it, or the head, gives it away.
            #expect(try await store.verifyAudit(against: []).findings.isEmpty == false)
            previous = checksum
        }
        let last = previous
        _ = try await store.write([.audit]) { session in
            try session.execute("UPDATE audit_chain SET head_checksum = ?", [last])
        }
        #expect(try await store.verifyAudit(against: []).isWhole)
        let found = try await store.verifyAudit(against: [noted]).findings
        #expect(found.map(\.sequence) == [5])
        // The chain as it was when somebody noted an earlier end is still whole.
        let earlier = AuditHead(chain: noted.chain, sequence: 2, hash: AuditChain.hexadecimal(rows[1].checksum))
        #expect(try await store.verifyAudit(against: [earlier]).isWhole)
    }

    @Test(
        arguments: StoreKind.available,
        [
            ["DELETE FROM audit", "DELETE FROM audit_chain"],
            ["DELETE FROM audit", "UPDATE audit_chain SET head_sequence = 0"],
            [
                "DELETE FROM audit WHERE sequence = 5",
                "UPDATE audit_chain SET head_sequence = 4, head_checksum ="
                    + " (SELECT checksum FROM audit WHERE sequence = 4)",
            ],
        ])
    func `records removed together with the chain's end are missed by the runs that made them`(
        kind: StoreKind, statements: [String]
    ) async throws {
        let place = try await makePlace(kind)
        for statement in statements { try await place.tamper(statement) }
        let findings = try await verdict(place).findings
        #expect(findings.contains { $0.detail.contains("run 01A made 4 records") }, "\(findings)")
    }

    @Test(arguments: StoreKind.available)
    func `many writers make one chain`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<4 {
                group.addTask {
                    let store = try await place.open()
                    let run = RunID("01W\(writer)")
                    try await store.openRun(header(run, app: AppName("app-\(writer)")))
                    for number in 1...10 {
                        try await store.append(
                            run: run, expectedSequence: Int64(number - 1), kind: "event", payload: payload("x"),
                            at: start, fence: nil, audit: [self.record(number, run: run)])
                    }
                    try await store.close()
                }
            }
            try await group.waitForAll()
        }
        let verdict = try await verdict(place)
        #expect(verdict.isWhole && verdict.records == 40 && verdict.heads.count == 1, "\(verdict.findings)")
    }

    @Test(arguments: StoreKind.available)
    func `a copy carries the chain along and goes on with one of its own`(kind: StoreKind) async throws {
        let (from, to) = (try await makePlace(.sqlite), try await Place(kind))
        func copy() async throws(StateError) -> StateCopy {
            try await StateStores.copy(from: from.url, to: to.url, at: start, silence: .seconds(60))
        }
        #expect(try await copy().audit == .init(copied: 5))
        let store = try await to.open()
        try await store.audit([record(8, run: nil)])
        try await store.close()
        // What came to the source meanwhile follows.
        let source = try await from.open()
        try await source.audit([record(6, run: nil)])
        try await source.close()
        #expect(try await copy().audit == .init(copied: 1, alreadyThere: 5))
        let (here, there) = (try await verdict(from), try await verdict(to))
        #expect(there.isWhole && there.records == 7 && there.heads.count == 2, "\(there.findings)")
        #expect(there.heads.contains(try #require(here.heads.first)))

        try await from.tamper("UPDATE audit SET kind = 'x' WHERE sequence = 2")
        let error = await failure { () throws(StateError) in try await copy() }
        #expect(error?.code == .corrupt && error?.detail.contains("record 2") == true)
        let check = try await StateStores.check(from.url, at: start, silence: .seconds(60))
        #expect(check.problems.count == 1 && check.problems[0].contains("record 2") && check.auditRecords == 6)
    }

    @Test(arguments: StoreKind.available)
    func `a store of the version before has no records, and says from where it came`(kind: StoreKind) async throws {
        let place = try await Place(kind)
        let store = try await place.open()
        #expect(store.migratedFrom == nil)
        try await store.openRun(header("01A"))
        try await store.close()
        let former = kind == .sqlite ? 2 : 1
        // At once, for each write leaves a receipt where there is a place for it.
        let writer = try await place.open()
        _ = try await writer.write([]) { session in
            for statement in (kind == .sqlite ? [] : ["DROP TABLE receipt"]) + [
                "DROP TABLE snapshot", "DROP TABLE audit", "DROP TABLE audit_chain", "DROP TABLE approval",
                "ALTER TABLE run DROP COLUMN audit_records",
                kind == .sqlite ? "PRAGMA user_version = 2" : "UPDATE store SET version = 1",
            ] { try session.execute(statement, []) }
        }
        try await writer.close()
        let migrated = try await place.open()
        #expect(migrated.migratedFrom == former)
        #expect(try await migrated.run("01A") != nil)
        let verdict = try await migrated.verifyAudit(against: [])
        #expect(verdict.isWhole && verdict.records == 0 && verdict.heads.isEmpty)
        try await append(migrated, 1, [record(1)])
        #expect(try await migrated.verifyAudit(against: []).records == 1)
        #expect(try await place.open().migratedFrom == nil)
    }

    @Test func `exported lines are verified without the store`() async throws {
        let place = try await makePlace(.sqlite)
        let store = try await place.open()
        let head = try #require(try await store.auditHeads().first)
        var lines = try await store.auditRecords(of: head.chain, after: 0, limit: 99).map(\.line)
        lines.append((["head": head.json] as JSONValue).text())
        func findings(_ lines: [String]) -> [AuditVerdict.Finding] {
            AuditChain.verify(lines: lines.map { $0[...] }).findings
        }
        #expect(findings(lines).isEmpty)
        for index in lines.indices {
            var less = lines
            less.remove(at: index)
            #expect(!findings(less).isEmpty, "without line \(index + 1)")
            for place in stride(from: 0, to: lines[index].utf8.count, by: 5) {
                var bytes = Array(lines[index].utf8)
                bytes[place] = bytes[place] == 0x61 ? 0x62 : 0x61
                var edited = lines
                edited[index] = String(decoding: bytes, as: UTF8.self)
                #expect(!findings(edited).isEmpty, "line \(index + 1), byte \(place)")
            }
            for other in lines.indices where other > index {
                var swapped = lines
                swapped.swapAt(index, other)
                #expect(!findings(swapped).isEmpty, "lines \(index + 1) and \(other + 1) swapped")
            }
        }
    }
}

extension SQLValue {
    /// The value as an argument of a statement.
    fileprivate var convertible: (any SQLConvertible)? {
        switch self {
        case .null: nil
        case .integer(let number): number
        case .text(let text): text
        case .data(let data): data
        }
    }
}
