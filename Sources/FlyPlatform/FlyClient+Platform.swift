// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension FlyClient {
    /// The names and digests of the app's secrets.
    package func secrets(_ app: AppName) async throws(FlyError) -> SecretList {
        var call = APICall(
            action: .listSecrets, method: "GET", template: "/v1/apps/{app}/secrets", app: app, repetition: .safe,
            total: FlyTimeouts.read)
        call.subject = .app
        return try await perform(call) { json throws(UnexpectedShape) in try SecretList(answer: json) }
    }

    /// The platform's regions.
    package func regions() async throws(FlyError) -> [Region] {
        let call = APICall(
            action: .listRegions, method: "GET", template: "/v1/platform/regions", repetition: .safe,
            total: FlyTimeouts.read)
        return try await perform(call) { json throws(UnexpectedShape) in
            guard let list = json["regions"] else { throw UnexpectedShape(message: "“regions” is missing") }
            var regions: [Region] = []
            for entry in try list.elements("the list of regions") { regions.append(try Region(answer: entry)) }
            return regions
        }
    }

    /// Where `count` machines with this `guest` (a config's own `guest`) would be placed; nothing is created.
    package func placements(
        organization: String, region: String, guest: JSONValue? = nil, count: Int
    ) async throws(FlyError) -> [Placement] {
        var call = APICall(
            action: .simulatePlacement, method: "POST", template: "/v1/platform/placements", repetition: .safe,
            total: FlyTimeouts.read)
        var body: [String: JSONValue] = [
            "org_slug": .string(organization), "region": .string(region), "count": .integer(Int64(count)),
        ]
        if let guest { body["compute"] = guest }
        call.body = .object(body)
        return try await perform(call) { json throws(UnexpectedShape) in
            guard let list = json["regions"] else { throw UnexpectedShape(message: "“regions” is missing") }
            var placements: [Placement] = []
            for entry in try list.elements("the placements") { placements.append(try Placement(answer: entry)) }
            return placements
        }
    }

    /// Opens a release record; its version is what people know the release by. `definition` is fly.toml as JSON.
    package func createRelease(
        _ app: AppName, image: String, strategy: PlatformStrategy, definition: JSONValue, buildID: Int = 0
    ) async throws(FlyError) -> PlatformRelease {
        var call = onPlatform(.createRelease, "POST", "/api/v1/releases", .onlyIfUnprocessed, FlyTimeouts.mutation)
        // The app is in the body, and is what the platform counts by.
        call.app = app
        call.body = [
            "app_name": .string(app.rawValue), "build_id": .integer(Int64(buildID)), "definition": definition,
            "image": .string(image), "strategy": .string(strategy.rawValue),
        ]
        return try await perform(call) { json throws(UnexpectedShape) in
            try PlatformRelease(answer: json["release"] ?? json)
        }
    }

    /// Closes a release record, or says that it is running.
    package func finishRelease(
        _ id: String, status: PlatformReleaseStatus, metadata: JSONValue = .object([:])
    ) async throws(FlyError) {
        var call = onPlatform(
            .updateRelease, "PATCH", "/api/v1/releases/{key}", .onlyIfUnprocessed, FlyTimeouts.mutation)
        call.key = id
        call.body = ["status": .string(status.rawValue), "metadata": metadata]
        try await perform(call)
    }

    /// The app's latest releases, newest first, at most `limit`.
    package func releases(_ app: AppName, limit: Int = 25) async throws(FlyError) -> [PlatformRelease] {
        var call = onPlatform(.listReleases, "GET", "/api/v1/apps/{app}/releases", .safe, FlyTimeouts.read)
        call.app = app
        call.subject = .app
        call.query = [(name: "limit", value: String(limit))]
        return try await perform(call) { json throws(UnexpectedShape) in
            guard let list = json["releases"] else { throw UnexpectedShape(message: "“releases” is missing") }
            var releases: [PlatformRelease] = []
            for entry in try list.elements("the list of releases") {
                releases.append(try PlatformRelease(answer: entry))
            }
            return releases
        }
    }

    /// The release the platform takes for current; nil where the app has none.
    package func currentRelease(_ app: AppName) async throws(FlyError) -> PlatformRelease? {
        var call = onPlatform(.currentRelease, "GET", "/api/v1/apps/{app}/releases/current", .safe, FlyTimeouts.read)
        call.app = app
        do {
            return try await perform(call) { json throws(UnexpectedShape) in
                json == .null ? nil : try PlatformRelease(answer: json["release"] ?? json)
            }
        } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    /// Lines of the app's log after `nextToken`, of one region or one machine where given. A deploy token may be
    /// refused with `unauthorized`.
    package func logs(
        _ app: AppName, nextToken: String? = nil, region: String? = nil, instance: String? = nil
    ) async throws(FlyError) -> LogPage {
        var call = onPlatform(.readLogs, "GET", "/api/v1/apps/{app}/logs", .safe, FlyTimeouts.read)
        call.app = app
        call.subject = .app
        for (name, value) in [("next_token", nextToken), ("region", region), ("instance", instance)] {
            if let value { call.query.append((name: name, value: value)) }
        }
        return try await perform(call) { json throws(UnexpectedShape) in try LogPage(answer: json) }
    }

    private func onPlatform(
        _ action: APIAction, _ method: String, _ template: String, _ repetition: RetryPolicy.Repetition,
        _ total: Duration
    ) -> APICall {
        APICall(
            action: action, service: .platform, method: method, template: template, repetition: repetition, total: total
        )
    }
}
