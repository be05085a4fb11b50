// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import HTTPTransport
internal import Model

/// One call before it is sent: everything the wire needs but the token.
struct GitHubRequest {
    var method: String
    /// The path as GitHub's documentation writes it: `/repos/{owner}/{repo}/commits/{ref}/status`.
    var template: String
    /// The path with its names in place.
    var path: String
    var query: [(name: String, value: String)]
    var body: JSONValue?

    /// - Parameter names: what stands for `{name}` in the template.
    init(
        _ method: String, _ template: String, of repository: GitHubRepository, _ names: [String: String] = [:],
        query: [(name: String, value: String)] = [], body: JSONValue? = nil
    ) {
        self.method = method
        self.template = template
        self.query = query
        self.body = body
        path = template.split(separator: "/").map { segment in
            guard segment.hasPrefix("{"), segment.hasSuffix("}") else { return "/" + segment }
            switch String(segment.dropFirst().dropLast()) {
            case "owner": return "/" + PercentEncoding.escaped(repository.owner)
            case "repo": return "/" + PercentEncoding.escaped(repository.name)
            case let name:
                guard let value = names[name] else { preconditionFailure("\(template) without a value for \(name)") }
                return "/" + PercentEncoding.escaped(value)
            }
        }.joined()
    }

    var changesSomething: Bool { method != "GET" }

    func url(_ api: String) -> String {
        let text = query.map { PercentEncoding.escaped($0.name) + "=" + PercentEncoding.escaped($0.value) }
        return api + path + (text.isEmpty ? "" : "?" + text.joined(separator: "&"))
    }
}
