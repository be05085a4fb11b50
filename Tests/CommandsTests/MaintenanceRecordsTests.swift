// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Journals
import Model
import PipelineFiles
import Testing
import Windows

@testable import Commands

/// Announcements in a real state store, and what the runs of their time make of them.
@Suite("Records of maintenance")
struct MaintenanceRecordsTests {
    private static let announcedAt = Timestamp(secondsSinceEpoch: 1_800_000_000)
    private static let from = announcedAt + .seconds(100_000)

    private static func pipeline(notice: String = "24h") throws -> Pipeline {
        let text = """
            version: 1
            app: harbour
            fly_toml: fly.toml
            window: { time_zone: UTC, open: [Mon 00:00-00:01], maintenance: { notice: \(notice) } }
            build: { image: "a/b:c" }

            """
        return try Pipeline(parsing: text, path: "pipelines/harbour.yml", environment: [:])
    }

    private static func withRecords(_ body: (MaintenanceRecords) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "airboss-records-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }  // a leftover costs only room
        let store = try await StateStores.open("sqlite:\(folder.path)/state.sqlite")
        try await body(MaintenanceRecords(store: store, pipeline: try pipeline()))
    }

    private static func announce(_ records: MaintenanceRecords, at now: Timestamp = announcedAt) async throws {
        _ = try await records.announce(
            from: from, to: from + .seconds(3600), reason: "New database", by: "grace", at: now,
            policy: MaintenancePolicy(), rules: .utc)
    }

    private static func run(
        _ records: MaintenanceRecords, _ id: String, kind: String = "deploy", outcome: String?, at time: Timestamp
    ) async throws {
        let run = RunID(id)
        try await records.store.openRun(
            RunHeader(
                run: run, pipeline: "harbour", app: "harbour", kind: kind, actor: "tess", reason: "r", host: "h",
                processID: 1, startedAt: time, schema: 1))
        guard let outcome else { return }
        try await records.store.closeRun(
            run, outcome: outcome, exitCode: 0, finishedAt: time + .seconds(60), summary: Data("{}".utf8))
    }

    @Test(
        "the last run in its time decides where it stands",
        arguments: [
            ("verified", "smoked"), ("rolled_back", "smoked"), ("needs_human", "failed"), ("interrupted", "failed"),
            ("refused", "announced"), ("unavailable", "announced"), (nil, "executing"),
        ] as [(String?, String)])
    func outcomes(outcome: String?, state: String) async throws {
        try await Self.withRecords { records in
            try await Self.announce(records)
            try await Self.run(records, "01A", outcome: "needs_human", at: Self.from - .seconds(1))
            try await Self.run(records, "01B", outcome: outcome, at: Self.from + .seconds(60))
            let now = Self.from + .seconds(600)
            let found = try await records.all(at: now)
            #expect(found.map(\.state.name) == [state])
            // Before it began, nothing of this had happened.
            #expect(try await records.all(at: Self.from - .seconds(2)).map(\.state.name) == ["announced"])
            let after = ["smoked": "closed", "announced": "lapsed"][state] ?? state
            #expect(try await records.all(at: Self.from + .seconds(3600)).map(\.state.name) == [after])
        }
    }

    @Test("a good run after a bad one mends it, and a close ends it there")
    func mended() async throws {
        try await Self.withRecords { records in
            try await Self.announce(records)
            try await Self.run(records, "01A", outcome: "needs_human", at: Self.from)
            try await Self.run(records, "01B", kind: "rollback", outcome: "rolled_back", at: Self.from + .seconds(600))
            let now = Self.from + .seconds(1200)
            let smoked = try #require(try await records.all(at: now).first)
            #expect(smoked.state == .smoked(run: RunID("01B")))
            try await records.record(.closed, of: smoked, by: "grace", at: now)
            let closed = try #require(try await records.all(at: now + .seconds(1)).first)
            #expect(closed.state == .closed && closed.opens?.to == now)
            // A second close changes nothing any more.
            try await records.record(.closed, of: smoked, by: "tess", at: now + .seconds(10))
            #expect(try await records.all(at: now + .seconds(11)).first?.endedAt == now)
        }
    }

    @Test("an announcement whose process died before its entry was written is none")
    func torn() async throws {
        try await Self.withRecords { records in
            try await Self.run(records, "01A", kind: "maintenance", outcome: nil, at: Self.announcedAt)
            #expect(try await records.all(at: Self.from).isEmpty)
        }
    }

    @Test("a clock that shows a time before the last record is not believed")
    func clock() async throws {
        try await Self.withRecords { records in
            try await Self.run(records, "01A", outcome: "verified", at: Self.announcedAt)
            for back in [601, 86_400 * 365 * 30] {
                let error = await #expect(throws: AirbossError.self) {
                    try await Self.announce(records, at: Self.announcedAt - .seconds(back))
                }
                #expect(error?.code == .refused && error?.hint.contains("clock") == true)
            }
            try await Self.announce(records, at: Self.announcedAt - .seconds(600))
            #expect(try await records.all(at: Self.announcedAt).count == 1)
        }
    }

    @Test("a pipeline that meanwhile asks for more notice is obeyed")
    func notice() async throws {
        try await Self.withRecords { records in
            try await Self.announce(records)
            let now = Self.from + .seconds(60)
            for (notice, isOpen) in [("24h", true), ("28h", false)] {
                let pipeline = try Self.pipeline(notice: notice)
                var window = try #require(try LiveWindow(pipeline, environment: [:], now: now))
                window.store = records.store
                guard case .window(let decision) = await window.answer(at: now) else {
                    Issue.record("no decision")
                    return
                }
                #expect(decision.isOpen == isOpen, "\(notice): \(decision.rule)")
                if isOpen { #expect(decision.closes == Self.from + .seconds(3600)) }
            }
        }
    }
}
