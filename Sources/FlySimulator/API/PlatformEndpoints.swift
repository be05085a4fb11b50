// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import HTTPTypes
internal import Model

/// The platform API below `/api/v1`: release records and logs. Source: flyctl's clients of it.
struct PlatformEndpoints: Sendable {
    static let releasesPerPage = 25
    static let linesPerPage = 100

    func call(_ request: APIRequest) throws(WorldFailure) -> APICall {
        let path = request.path
        switch (request.method, path.first, path.count) {
        case (.post, "releases", 1):
            let body = try request.object()
            guard let app = body["app_name"]?.string, !app.isEmpty else {
                throw WorldFailure(400, "app_name is required")
            }
            return APICall(
                app: app,
                call: .createRelease(
                    image: body["image"]?.string ?? "", strategy: body["strategy"]?.string ?? "",
                    definition: body["definition"]))
        case (.patch, "releases", 2):
            let body = try request.object()
            return APICall(
                call: .updateRelease(id: path[1], status: body["status"]?.string, metadata: body["metadata"]))
        case (.get, "apps", 3) where path[2] == "releases":
            let limit = try request.integer("limit") ?? PlatformEndpoints.releasesPerPage
            return APICall(app: path[1], call: .listReleases(limit: limit))
        case (.get, "apps", 4) where path[2] == "releases" && path[3] == "current":
            return APICall(app: path[1], call: .currentRelease)
        case (.get, "apps", 3) where path[2] == "logs":
            let token = request.parameter("next_token").flatMap { $0.isEmpty ? nil : $0 }
            let start = token.flatMap { Int($0) }
            guard token == nil || start != nil else { throw WorldFailure(400, "invalid next_token") }
            return APICall(
                app: path[1],
                call: .readLogs(
                    from: start, machine: request.parameter("instance").flatMap { $0.isEmpty ? nil : $0 },
                    region: request.parameter("region").flatMap { $0.isEmpty ? nil : $0 },
                    limit: PlatformEndpoints.linesPerPage))
        default:
            throw request.unknown()
        }
    }
}
