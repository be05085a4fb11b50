// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

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
            case "owner": return "/" + GitHubRequest.escaped(repository.owner)
            case "repo": return "/" + GitHubRequest.escaped(repository.name)
            case let name:
                guard let value = names[name] else { preconditionFailure("\(template) without a value for \(name)") }
                return "/" + GitHubRequest.escaped(value)
            }
        }.joined()
    }

    var changesSomething: Bool { method != "GET" }

    func url(_ api: String) -> String {
        let text = query.map { GitHubRequest.escaped($0.name) + "=" + GitHubRequest.escaped($0.value) }
        return api + path + (text.isEmpty ? "" : "?" + text.joined(separator: "&"))
    }

    /// Percent-encodes all but RFC 3986's unreserved characters.
    static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += digits.count == 1 ? "%0" + digits : "%" + digits
            }
        }
        return result
    }
}
