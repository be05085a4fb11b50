// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Crypto
import Foundation
import HTTPTypes
import Model
import NIOCore
import NIOHTTPTypes
import Synchronization
import Testing

@testable import FlySimulator

/// A folder, a registry store and guests for one test.
final class GuestLab: Sendable {
    let directory: String
    let store: RegistryStore
    let guests: ProcessGuests

    static let app = "lab"

    /// The statically linked server, or why there is none.
    static let server: Result<String, LabProblem> = {
        let folder = NSTemporaryDirectory() + "airboss-guest-server-\(getpid())"
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data(guestServerSource.utf8).write(to: URL(filePath: folder + "/server.c"))
            let command = ["cc", "-static", "-D_GNU_SOURCE", "-O1", "-pthread", "-o", folder + "/server"]
            if let problem = try Launch.run(command + [folder + "/server.c"]) {
                return .failure(LabProblem("cc -static: \(problem)"))
            }
            let bytes = try Data(contentsOf: URL(filePath: folder + "/server"))
            let kept = NSTemporaryDirectory() + "airboss-guest-server-\(getpid())-binary"
            try bytes.write(to: URL(filePath: kept))
            try FileManager.default.removeItem(atPath: folder)
            serverPath.withLock { $0 = kept }
            atexit { unlink(serverPath.withLock { $0 }) }
            return .success(kept)
        } catch {
            return .failure(LabProblem("\(error)"))
        }
    }()

    /// Whether guests can run here; prints why not.
    static let canRun: Bool = {
        do {
            _ = try server.get()
            _ = try Sandbox.probe(in: NSTemporaryDirectory())
            return true
        } catch {
            print("tests with real guests are skipped: \(error)")
            return false
        }
    }()

    /// The executable that calls the supervisor, built beside the test bundle.
    static var fixture: String {
        let own = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        return own.deletingLastPathComponent().appending(path: "simulator-guest-fixture").path
    }

    init() throws {
        directory = NSTemporaryDirectory() + "airboss-lab-" + UUID().uuidString
        store = try RegistryStore(directory: directory + "/registry")
        guests = ProcessGuests(registry: store, guestExecutable: GuestLab.fixture, directory: directory + "/guests")
    }

    func close() async {
        await guests.shutdown()
        remove(directory)
    }

    /// Stores an image of these files (path to content) over the server binary, as `lab:tag`. Returns its digest.
    @discardableResult
    func image(
        _ tag: String, entrypoint: [String] = ["/server"], command: [String] = [], environment: [String] = [],
        user: String = "", workingDirectory: String = "", layers extra: [[String: String]] = [], isGzipped: Bool = true
    ) throws -> String {
        var layers = [try layer(["server": nil], isGzipped: isGzipped)]
        for files in extra { layers.append(try layer(files.mapValues { Optional($0) }, isGzipped: isGzipped)) }
        let kind = "application/vnd.oci.image.layer.v1.tar" + (isGzipped ? "+gzip" : "")
        func words(_ list: [String]) -> JSONValue { .array(list.map { JSONValue.string($0) }) }
        let settings: [String: JSONValue] = [
            "Entrypoint": words(entrypoint), "Cmd": words(command), "Env": words(environment),
            "User": .string(user), "WorkingDir": .string(workingDirectory),
        ]
        let config: [String: JSONValue] = [
            "architecture": .string(UnpackedImages.architecture), "os": .string("linux"),
            "config": .object(settings), "rootfs": .object(["type": .string("layers"), "diff_ids": .array([])]),
        ]
        let configBytes = Array(JSONValue.object(config).text().utf8)
        let manifestType = "application/vnd.oci.image.manifest.v1+json"
        let document: [String: JSONValue] = [
            "schemaVersion": .integer(2), "mediaType": .string(manifestType),
            "config": try descriptor(configBytes, "application/vnd.oci.image.config.v1+json"),
            "layers": .array(try layers.map { try descriptor($0, kind) }),
        ]
        let manifest = JSONValue.object(document)
        return try store.putManifest(
            Array(manifest.text().utf8), mediaType: manifestType,
            repository: GuestLab.app, reference: tag)
    }

    private func descriptor(_ bytes: [UInt8], _ type: String) throws -> JSONValue {
        let digest = try put(bytes)
        return ["mediaType": .string(type), "digest": .string(digest), "size": .integer(Int64(bytes.count))]
    }

    func put(_ bytes: [UInt8], repository: String = GuestLab.app) throws -> String {
        let digest = "sha256:" + hexadecimal(SHA256.hash(data: bytes))
        var upload = try store.beginUpload(repository: repository)
        try store.append(ByteBuffer(bytes: bytes), to: &upload)
        try store.finish(upload, digest: digest)
        return digest
    }

    /// A tar of these files; nil stands for the server binary.
    private func layer(_ files: [String: String?], isGzipped: Bool) throws -> [UInt8] {
        let folder = directory + "/layer-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: folder) }  // A leftover goes with the lab.
        for (path, content) in files {
            let target = folder + "/root/" + path
            try FileManager.default.createDirectory(
                atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            if let content, content.hasPrefix("-> ") {
                try FileManager.default.createSymbolicLink(
                    atPath: target, withDestinationPath: String(content.dropFirst(3)))
            } else if let content {
                try Data(content.utf8).write(to: URL(filePath: target))
            } else {
                try Data(contentsOf: URL(filePath: try GuestLab.server.get())).write(to: URL(filePath: target))
                try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: target)
            }
        }
        let command = ["tar", isGzipped ? "-czf" : "-cf", folder + "/layer.tar", "-C", folder + "/root", "."]
        if let problem = try Launch.run(command) { throw LabProblem(problem) }
        return Array(try Data(contentsOf: URL(filePath: folder + "/layer.tar")))
    }

    static let service: JSONValue = ["services": [["internal_port": 8080, "protocol": "tcp"]]]

    func spec(
        _ machine: String, tag: String = "one", config: JSONValue = GuestLab.service,
        environment: [String: String] = [:]
    ) -> GuestSpec {
        GuestSpec(
            app: GuestLab.app, machine: machine, instance: "01", image: "registry.fly.io/\(GuestLab.app):\(tag)",
            config: config, environment: environment, directory: directory + "/machines/" + machine)
    }

    /// Starts a guest and collects what it says.
    func start(_ spec: GuestSpec) -> GuestDiary {
        let diary = GuestDiary()
        guests.start(spec) { diary.add($0) }
        return diary
    }

    /// Starts a guest and waits until it says that it listens.
    func startListening(_ spec: GuestSpec) async throws -> GuestDiary {
        let diary = start(spec)
        try await diary.wait { $0 == .log(line: "listening", isError: false) }
        return diary
    }

    func get(_ machine: String, _ path: String) async throws -> (status: Int, body: String) {
        guard let socket = guests.socketPath(machine: machine, port: 8080) else { throw LabProblem("no socket") }
        let connection = try await GuestConnection.open(socket, lifetime: .seconds(20), idleTime: .seconds(20))
        defer { connection.close() }
        let request = HTTPRequest(method: .get, scheme: "http", authority: "lab", path: path)
        if await connection.isSent(.head(request)) { _ = await connection.isSent(.end(nil)) }
        let head = try await connection.head()
        var body = ""
        while let part = try await connection.next() {
            if case .body(let buffer) = part { body += String(buffer: buffer) }
            if case .end = part { break }
        }
        return (head.status.code, body)
    }
}

/// What the atexit handler, which can capture nothing, removes.
private let serverPath = Mutex("")

struct LabProblem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The events of one guest, in order.
final class GuestDiary: Sendable {
    private struct State {
        var events: [GuestEvent] = []
        var waiting:
            [(matches: @Sendable (GuestEvent) -> Bool, continuation: CheckedContinuation<GuestEvent?, Never>)] =
                []
    }

    private let state = Mutex(State())

    var events: [GuestEvent] { state.withLock(\.events) }

    var lines: [String] {
        events.compactMap { if case .log(let line, _) = $0 { line } else { nil } }
    }

    func add(_ event: GuestEvent) {
        let woken = state.withLock { state in
            state.events.append(event)
            let isLast = GuestDiary.isEnd(event)
            var woken: [(CheckedContinuation<GuestEvent?, Never>, GuestEvent?)] = []
            state.waiting.removeAll { waiting in
                if waiting.matches(event) {
                    woken.append((waiting.continuation, event))
                } else if isLast {
                    woken.append((waiting.continuation, nil))
                } else {
                    return false
                }
                return true
            }
            return woken
        }
        for (continuation, event) in woken { continuation.resume(returning: event) }
    }

    /// The first matching event, past or to come; throws where the guest ends without it.
    @discardableResult
    func wait(for matches: @escaping @Sendable (GuestEvent) -> Bool) async throws -> GuestEvent {
        let found = await withCheckedContinuation { continuation in
            let known = state.withLock { state -> GuestEvent?? in
                if let event = state.events.first(where: matches) { return .some(event) }
                if state.events.contains(where: GuestDiary.isEnd) { return .some(nil) }
                state.waiting.append((matches, continuation))
                return nil
            }
            if let known { continuation.resume(returning: known) }
        }
        guard let found else { throw LabProblem("it never came; there was \(events)") }
        return found
    }

    /// How it ended.
    func end() async throws -> GuestEvent {
        try await wait(for: GuestDiary.isEnd)
    }

    private static func isEnd(_ event: GuestEvent) -> Bool {
        switch event {
        case .exited, .failedToStart: true
        case .started, .log: false
        }
    }
}
