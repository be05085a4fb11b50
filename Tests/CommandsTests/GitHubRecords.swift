// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Synchronization
import TestSupport

/// Keeps whatever is posted to a list, and lists it, newest first.
final class GitHubRecords: Sendable {
    static let token = "ghs_donotshowthistokenanywhere0123456789"

    struct State: Sendable {
        var lists: [String: [JSONValue]] = [:]
        var isDown = false
    }
    let state = Mutex(State())

    /// What a program needs to find it at a server.
    static func environment(_ url: String) -> [String: String?] {
        ["GITHUB_API_URL": url, "GITHUB_TOKEN": token, "GITHUB_REPOSITORY": "acme/harbour"]
    }

    /// Everything it was ever told.
    var everything: String {
        state.withLock { state in state.lists.values.flatMap { $0 }.map { $0.text() }.joined(separator: "\n") }
    }

    func list(_ path: String) -> [JSONValue] {
        state.withLock { $0.lists["/repos/acme/harbour/" + path] ?? [] }
    }

    func answer(_ request: LoopbackServer.Request) -> LoopbackAnswer {
        state.withLock { state in
            guard !state.isDown else { return .json(503, #"{"message":"Unicorn!"}"#) }
            guard request.header("authorization") == "Bearer \(GitHubRecords.token)" else {
                return .json(401, #"{"message":"Bad credentials"}"#)
            }
            let body = (try? JSONValue(parsing: request.body)) ?? .null
            switch request.method {
            case "GET":
                let isOpenOnly = request.target.contains("state=open")
                let list = (state.lists[request.path] ?? []).filter { !isOpenOnly || $0["state"] == "open" }
                return .json(200, JSONValue.array(list.reversed()).text())
            case "POST":
                var made = body
                let number = (state.lists[request.path]?.count ?? 0) + 1
                made["id"] = .integer(Int64(number))
                made["number"] = .integer(Int64(number))
                made["sha"] = body["ref"] ?? .null
                made["html_url"] = "https://github.com/acme/harbour"
                if body["state"] == nil { made["state"] = "open" }
                state.lists[request.path, default: []].append(made)
                return .json(201, made.text())
            case "PATCH":
                let parts = request.path.split(separator: "/").map(String.init)
                let list = "/" + parts.dropLast().joined(separator: "/")
                guard let index = parts.last.flatMap({ Int($0) }).map({ $0 - 1 }),
                    var issue = state.lists[list]?[index]
                else { return .json(404, "{}") }
                issue["state"] = body["state"]
                state.lists[list]?[index] = issue
                return .json(200, issue.text())
            default: return .json(404, "{}")
            }
        }
    }
}
