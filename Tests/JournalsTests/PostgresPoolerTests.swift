// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Glibc
import Model
import Testing

@testable import Journals

/// A store behind PgBouncer, which gives every transaction whatever connection is free.
@Suite(.enabled(if: PostgresServer.isInstalled)) struct PostgresPoolerTests {
    @Test func `a server is listened to, and a change is heard at once`() async throws {
        let place = try await Place(.postgres)
        var options = PostgresStore.Options()
        // Looking alone would take too long to be mistaken for listening.
        options.pollIntervalListening = .seconds(600)
        let waiting = try await PostgresStore(url: place.location, options: options)
        let other = try await place.open()
        #expect(try await waiting.changed(app, within: .zero) == false)
        async let heard = waiting.changed(app, within: .seconds(300))
        while try await listeners(place) == 0 { try await Task.sleep(for: .milliseconds(10)) }
        _ = try await other.joinQueue(app, run: "01A", holder: .process(at: start), at: start)
        #expect(try await heard)
    }

    @Test func `a line that breaks is noticed, and the wait goes on`() async throws {
        let place = try await Place(.postgres)
        let waiting = try await place.open()
        _ = try await waiting.changed(app, within: .zero)
        #expect(try await listeners(place) == 1)
        async let heard = waiting.changed(app, within: .seconds(300))
        let server = try await PostgresServer.shared.value
        try await server.script(
            """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE query LIKE 'LISTEN%' AND datname = '\(name(of: place))'
            """)
        while try await listeners(place) > 0 { try await Task.sleep(for: .milliseconds(10)) }
        let other = try await place.open()
        _ = try await other.joinQueue(app, run: "01A", holder: .process(at: start), at: start)
        #expect(try await heard)
    }

    @Test func `behind a pooler that shares connections everything works, and waiting looks`() async throws {
        let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"] as [String]
        guard let program = places.first(where: { access($0, X_OK) == 0 }) else {
            print("skipped: pgbouncer is not installed")
            return
        }
        let server = try await PostgresServer.shared.value
        let place = try await Place(.postgres)
        let folder = "/tmp/airboss-pooler-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer {
            // What can't be removed stays in the system's temporary folder.
            try? FileManager.default.removeItem(atPath: folder)
        }
        try Data("\"\(PostgresServer.user)\" \"\"\n".utf8).write(to: URL(filePath: folder + "/users"))
        // Two connections for everybody, so that nobody has the same one for long.
        let settings = """
            [databases]
            * = host=\(server.folder) port=\(server.port)
            [pgbouncer]
            listen_addr =
            unix_socket_dir = \(folder)
            listen_port = 6543
            auth_type = trust
            auth_file = \(folder)/users
            pool_mode = transaction
            default_pool_size = 2
            max_client_conn = 100
            logfile = \(folder)/log
            pidfile = \(folder)/pid
            """
        try Data(settings.utf8).write(to: URL(filePath: folder + "/pgbouncer.ini"))
        if geteuid() == 0, let account = getpwnam("postgres") {
            for path in [folder, folder + "/users", folder + "/pgbouncer.ini"] {
                #expect(chown(path, account.pointee.pw_uid, account.pointee.pw_gid) == 0)
            }
        }
        let user = geteuid() == 0 ? ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] : []
        let pooler = try await Program(
            ["setpriv"] + user + ["--pdeathsig", "TERM", "--", program, folder + "/pgbouncer.ini"],
            log: folder + "/output")
        while access(folder + "/.s.PGSQL.6543", F_OK) != 0 { try await Task.sleep(for: .milliseconds(10)) }

        let url = "postgres:///\(name(of: place))?host=\(folder)&port=6543&user=\(PostgresServer.user)"
        let appended = try await withThrowingTaskGroup(of: Int.self) { group in
            for writer in 0..<6 {
                group.addTask { try await workThroughPooler(url, writer) }
            }
            return try await group.reduce(0, +)
        }
        #expect(appended == 6 * 30)
        #expect(try await server.script("SELECT count(*) FROM airboss.receipt", in: self.name(of: place)) == "6")

        // Nothing is left of any session for the next one: no listener, no setting, no lock.
        let waiting = try await PostgresStore(url: url)
        _ = try await waiting.changed(app, within: .zero)
        #expect(try await listeners(place) == 0)
        async let heard = waiting.changed(app, within: .seconds(300))
        let other = try await PostgresStore(url: url)
        _ = try await other.joinQueue(app, run: "01A", holder: .process(at: start), at: start)
        #expect(try await heard)
        let left = try await server.script(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
                + " WHERE datname = '\(name(of: place))')")
        #expect(left == "0")
        kill(pooler.process, SIGTERM)
        _ = await pooler.end()
    }

    private func listeners(_ place: Place) async throws -> Int {
        let server = try await PostgresServer.shared.value
        let text = try await server.script(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = '\(name(of: place))'")
        return Int(text ?? "") ?? -1
    }

    private func name(of place: Place) -> String {
        String(place.location.dropFirst("postgres:///".count).prefix { $0 != "?" })
    }
}

/// A run with its hold, its journal and a release, as a deploy writes them; returns how many entries it has.
private func workThroughPooler(_ url: String, _ writer: Int) async throws -> Int {
    let store = try await PostgresStore(url: url)
    let run = RunID("01W\(writer)")
    let name = AppName("app-\(writer)")
    try await store.openRun(header(run, app: name))
    let answer = try await store.acquire(name, run: run, holder: .process(at: start), at: start, silence: .seconds(60))
    #expect(answer == .acquired(fence: 1))
    let fence = Fence(app: name, run: run, token: 1)
    for number in 0..<30 {
        try await store.append(
            run: run, expectedSequence: Int64(number), kind: "event", payload: payload("\(number)"), at: start,
            fence: fence)
    }
    try await store.recordRelease(release(5, app: name, run: run), fence: fence)
    try await store.release(name, run: run, fence: fence.token)
    return try await store.events(run).entries.count
}
