// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import GRDB
import Model
import Testing

@testable import Journals

/// A folder that is removed with the last use of this value.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "airboss-journals-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // What is left behind is the system's temporary folder's to clean.
        try? FileManager.default.removeItem(atPath: path)
    }

    func file(_ name: String = "state.sqlite") -> String { path + "/" + name }
}

let start = Timestamp(milliseconds: 1_795_000_000_000)
let app: AppName = "hotdash-production"

func header(_ run: RunID, app: AppName = app, pipeline: String = "production", at time: Timestamp = start) -> RunHeader
{
    RunHeader(
        run: run, pipeline: pipeline, app: app, kind: "deploy", actor: "dana", reason: "a reason", host: "runner-1",
        processID: 4711, startedAt: time, schema: 1)
}

func payload(_ text: String) -> Data { Data("{\"text\":\"\(text)\"}".utf8) }

func digest(_ number: Int) -> ImageDigest {
    ImageDigest("sha256:" + String(repeating: "0", count: 62) + (number < 10 ? "0" : "") + "\(number)")
}

func release(
    _ number: Int, app: AppName = app, run: RunID = "01RUN", state: ReleaseRecord.State = .deploying
) -> ReleaseRecord {
    ReleaseRecord(
        app: app, number: ReleaseNumber(number), platformID: "rel\(number)", commit: "0123456789abcdef",
        subject: "Change \(number)", image: "registry.fly.io/\(app)@\(digest(number))", digest: digest(number),
        machines: [
            RecordedMachine(
                id: "e784079b449483", name: "wild-brook", region: "ord",
                config: MachineConfig(["image": "x", "unknown": ["kept": [1, 2.5, nil, true]]]), isCordoned: false)
        ], state: state, run: run, createdAt: start + .seconds(number), reason: "release \(number)")
}

/// A hold for messages.
let someHold = Hold(
    app: app, run: "01B", holder: .process(at: start), acquiredAt: start, heartbeatAt: start, fence: 4)

/// Reaches past the store into its file.
func tamper(_ path: String, _ sql: String, _ arguments: StatementArguments = []) throws {
    let queue = try DatabaseQueue(path: path)
    try queue.writeWithoutTransaction { try $0.execute(sql: sql, arguments: arguments) }
    try queue.close()
}

/// The error a call throws; a test failure where it throws none.
func failure<Value>(
    _ body: () async throws(StateError) -> Value, sourceLocation: SourceLocation = #_sourceLocation
) async -> StateError? {
    do {
        _ = try await body()
        Issue.record("no error was thrown", sourceLocation: sourceLocation)
        return nil
    } catch {
        return error
    }
}
