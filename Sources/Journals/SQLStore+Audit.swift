// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// A chain as a store has it.
struct StoredChain: Hashable, Sendable {
    var id: String
    /// Whether this store appends to it; another store's chain that was copied is only kept.
    var isOwn: Bool
    var sequence: Int64
    var checksum: Data

    var head: AuditHead { AuditHead(chain: id, sequence: sequence, hash: AuditChain.hexadecimal(checksum)) }
}

extension SQLStore {
    /// Records read with one statement.
    static var auditPage: Int { 1_000 }
    /// Among so many of the newest records one that is appended again is recognised.
    private static var recognised: Int { 20 }

    package func audit(_ records: [AuditRecord]) async throws(StateError) {
        guard !records.isEmpty else { return }
        try await write([.audit]) { [self] session in
            let newest = try session.rows(
                """
                SELECT audit.* FROM audit JOIN audit_chain ON audit_chain.id = audit.chain AND audit_chain.is_own = 1
                ORDER BY audit.sequence DESC LIMIT ?
                """, [Self.recognised + records.count]
            ).map { row in
                var json = try auditRow(row).sealed.json
                for member in AuditChain.placeMembers { json[member] = nil }
                return json
            }
            try seal(records.filter { !newest.contains($0.json) }, session)
        }
    }

    /// Appends records to the store's own chain, within the caller's transaction, whose subjects include `audit`.
    func seal(_ records: [AuditRecord], _ session: any SQLSession) throws {
        if records.isEmpty { return }
        var chain: StoredChain
        if let row = try session.row("SELECT * FROM audit_chain WHERE is_own = 1", []) {
            chain = try storedChain(row)
        } else {
            let id = AuditChain.makeID()
            chain = StoredChain(id: id, isOwn: true, sequence: 0, checksum: AuditChain.origin(of: id))
            try insert(session, chain)
        }
        var counts: [RunID: Int] = [:]
        for record in records {
            let row = AuditChain.seal(
                record, chain: chain.id, sequence: chain.sequence + 1, after: chain.checksum)
            try insert(session, [row])
            (chain.sequence, chain.checksum) = (row.sequence, row.checksum)
            if let run = record.run { counts[run, default: 0] += 1 }
        }
        try advance(session, chain)
        // Kept with the runs as well, where whoever removes records from the chain does not think of it.
        for (run, count) in counts.sorted(by: { $0.key < $1.key }) {
            try session.post(
                "UPDATE run SET audit_records = audit_records + CAST(? AS BIGINT) WHERE id = ?",
                [count, run.rawValue])
        }
    }

    package func auditRecords(_ filter: AuditFilter, limit: Int) async throws(StateError) -> [SealedAuditRecord] {
        try await read { [self] session in
            var conditions: [String] = []
            var arguments: [(any SQLConvertible)?] = []
            if let pipeline = filter.pipeline {
                conditions.append("pipeline = ?")
                arguments += [pipeline]
            }
            if let run = filter.run {
                conditions.append("run = ?")
                arguments += [run.rawValue]
            }
            if let since = filter.since {
                conditions.append("at >= ?")
                arguments += [since.milliseconds]
            }
            let narrowed = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
            arguments += [max(0, limit)]
            return try session.rows(
                "SELECT * FROM audit \(narrowed) ORDER BY at DESC, chain DESC, sequence DESC LIMIT ?", arguments
            ).map { try auditRow($0).sealed }
        }
    }

    package func auditHeads() async throws(StateError) -> [AuditHead] {
        try await chains().map(\.head)
    }

    package func auditRecords(
        of chain: String, after sequence: Int64, limit: Int
    ) async throws(StateError) -> [SealedAuditRecord] {
        try await auditRows(of: chain, after: sequence, limit: limit).map(\.sealed)
    }

    package func verifyAudit(against heads: [AuditHead]) async throws(StateError) -> AuditVerdict {
        var verdict = AuditVerdict()
        let chains = try await chains()
        for chain in chains {
            // Where it ends is read before its records are: what is appended meanwhile is not missing.
            var verifier = AuditChain.Verifier(chain.id)
            var last: Int64 = .min
            var hashes: [Int64: String] = [:]
            let noted = Set(heads.filter { $0.chain == chain.id }.map(\.sequence))
            while true {
                let rows = try await auditRows(of: chain.id, after: last, limit: Self.auditPage)
                for row in rows {
                    if row.sequence > chain.sequence, try await chainHead(chain.id) >= row.sequence { continue }
                    if noted.contains(row.sequence) { hashes[row.sequence] = AuditChain.hexadecimal(row.checksum) }
                    verdict.add(verifier.take(row))
                }
                guard rows.count == Self.auditPage, let newest = rows.last?.sequence else { break }
                last = newest
            }
            verdict.add(verifier.end(at: (chain.sequence, chain.checksum)))
            verdict.records += verifier.count
            verdict.heads.append(chain.head)
            for head in heads where head.chain == chain.id {
                let isThere = head.sequence == 0 || hashes[head.sequence] == head.hash
                if !isThere {
                    let what =
                        hashes[head.sequence] == nil
                        ? "record \(head.sequence) is missing, which was the last when its hash was noted down"
                        : "record \(head.sequence) is not the one whose hash was noted down"
                    verdict.add([.init(chain: chain.id, sequence: head.sequence, detail: what)])
                }
            }
        }
        for head in heads where !chains.contains(where: { $0.id == head.chain }) {
            verdict.add([.init(chain: head.chain, sequence: nil, detail: "there is no such chain in this store")])
        }
        verdict.add(try await misplaced())
        return verdict
    }

    /// Records of chains that are none, and runs that have other records than were counted.
    private func misplaced() async throws(StateError) -> [AuditVerdict.Finding] {
        try await read { session in
            var found: [AuditVerdict.Finding] = []
            let stray = try session.rows(
                "SELECT DISTINCT chain FROM audit WHERE chain NOT IN (SELECT id FROM audit_chain) ORDER BY chain")
            for row in stray {
                found.append(
                    .init(chain: try row.required("chain"), sequence: nil, detail: "the chain's end is missing"))
            }
            let runs = try session.rows(
                """
                SELECT run.id, run.audit_records AS counted, count(audit.run) AS found FROM run
                LEFT JOIN audit ON audit.run = run.id
                GROUP BY run.id, run.audit_records HAVING count(audit.run) <> run.audit_records ORDER BY run.id
                """)
            for row in runs {
                let (counted, there): (Int64, Int64) = (try row.required("counted"), try row.required("found"))
                found.append(
                    .init(
                        chain: "", sequence: nil,
                        detail: "run \(try row.required("id", as: String.self)) made \(counted) records,"
                            + " and \(there) are there"))
            }
            let unknown = try session.rows(
                """
                SELECT DISTINCT run FROM audit WHERE run IS NOT NULL AND run NOT IN (SELECT id FROM run) ORDER BY run
                """)
            for row in unknown {
                found.append(
                    .init(
                        chain: "", sequence: nil,
                        detail: "there are records of run \(try row.required("run", as: String.self)), and no such run")
                )
            }
            return found
        }
    }

    // MARK: What copying reads and writes

    /// Every chain, the store's own first.
    func chains() async throws(StateError) -> [StoredChain] {
        try await read { [self] session in
            try session.rows("SELECT * FROM audit_chain ORDER BY is_own DESC, id").map(storedChain)
        }
    }

    private func chainHead(_ id: String) async throws(StateError) -> Int64 {
        try await read { session in
            try session.row("SELECT head_sequence FROM audit_chain WHERE id = ?", [id])?.required("head_sequence") ?? 0
        }
    }

    func auditRows(of chain: String, after sequence: Int64, limit: Int) async throws(StateError) -> [AuditChain.Row] {
        try await read { [self] session in
            try session.rows(
                "SELECT * FROM audit WHERE chain = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                [chain, sequence, max(0, limit)]
            ).map(auditRow)
        }
    }

    /// Writes the next records of another store's chain, all of them or none, and returns how many were not there yet.
    /// Throws `conflict` where the chain goes on otherwise here.
    func store(_ rows: [AuditChain.Row], of chain: String) async throws(StateError) -> Int {
        try await write([.audit]) { [self] session in
            var here: StoredChain
            if let row = try session.row("SELECT * FROM audit_chain WHERE id = ?", [chain]) {
                here = try storedChain(row)
            } else {
                here = StoredChain(id: chain, isOwn: false, sequence: 0, checksum: AuditChain.origin(of: chain))
                try insert(session, here)
            }
            var added = 0
            for row in rows {
                if row.sequence <= here.sequence {
                    let found = try session.row(
                        "SELECT * FROM audit WHERE chain = ? AND sequence = ?", [chain, row.sequence])
                    guard try found.map(auditRow) == row else {
                        throw error(.conflict, "record \(row.sequence) of the audit chain \(chain) is not the same")
                    }
                    continue
                }
                guard !here.isOwn, row.sequence == here.sequence + 1 else {
                    throw error(.conflict, "the audit chain \(chain) goes on at \(place) itself")
                }
                try insert(session, [row])
                (here.sequence, here.checksum) = (row.sequence, row.checksum)
                added += 1
            }
            if added > 0 { try advance(session, here) }
            return added
        }
    }

    // MARK: Rows

    private func insert(_ session: any SQLSession, _ chain: StoredChain) throws {
        try session.post(
            "INSERT INTO audit_chain (id, is_own, head_sequence, head_checksum) VALUES (?, ?, ?, ?)",
            [chain.id, chain.isOwn ? 1 : 0, chain.sequence, chain.checksum])
    }

    private func advance(_ session: any SQLSession, _ chain: StoredChain) throws {
        try session.post(
            "UPDATE audit_chain SET head_sequence = ?, head_checksum = ? WHERE id = ?",
            [chain.sequence, chain.checksum, chain.id])
    }

    private func insert(_ session: any SQLSession, _ rows: [AuditChain.Row]) throws {
        let places = rows.map { _ in "(?, ?, ?, ?, ?, ?, ?, ?, ?)" }.joined(separator: ", ")
        try session.post(
            """
            INSERT INTO audit (chain, sequence, at, kind, pipeline, app, run, document, checksum) VALUES \(places)
            """,
            rows.flatMap { row -> [(any SQLConvertible)?] in
                [
                    row.chain, row.sequence, row.at.milliseconds, row.kind, row.pipeline, row.app, row.run,
                    row.document, row.checksum,
                ]
            })
    }

    private func storedChain(_ row: SQLRow) throws -> StoredChain {
        StoredChain(
            id: try row.required("id"), isOwn: try row.required("is_own", as: Int.self) == 1,
            sequence: try row.required("head_sequence"), checksum: try row.required("head_checksum"))
    }

    private func auditRow(_ row: SQLRow) throws -> AuditChain.Row {
        AuditChain.Row(
            chain: try row.required("chain"), sequence: try row.required("sequence"), at: try row.time("at"),
            kind: try row.required("kind"), pipeline: try row.required("pipeline"), app: try row.optional("app"),
            run: try row.optional("run"), document: try row.required("document"),
            checksum: try row.required("checksum"))
    }
}
