// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// Where GitHub is: github.com, a GitHub Enterprise, or the stand-in that GitHub's own variables name.
package struct GitHubEndpoints: Hashable, Sendable {
    /// The REST API without a slash at the end.
    package let api: String
    /// The web pages without a slash at the end.
    package let server: String
    /// Hosts by which git remotes name this GitHub.
    package let remoteHosts: Set<String>

    package static let apiVariable = "GITHUB_API_URL"
    package static let serverVariable = "GITHUB_SERVER_URL"
    package static let defaultAPI = "https://api.github.com"

    /// Checks two addresses; throws an ``AirbossError`` of code `configuration` that names the variable at fault.
    ///
    /// Without a server it is told from the API's address: `api.HOST` or `HOST/api/v3`. Source: GitHub's documentation
    /// of its hosting options.
    package init(api: String = GitHubEndpoints.defaultAPI, server: String? = nil) throws(AirbossError) {
        let (base, host) = try GitHubEndpoints.base(api, GitHubEndpoints.apiVariable)
        self.api = base
        let web = host.hasPrefix("api.") ? String(host.dropFirst(4)) : host
        if let server {
            let (text, host) = try GitHubEndpoints.base(server, GitHubEndpoints.serverVariable)
            self.server = text
            remoteHosts = [host, web, "ssh." + web]
        } else {
            let scheme = base.prefix { $0 != ":" }
            let authority = base.dropFirst(scheme.count + 3).prefix { $0 != "/" }
            self.server = "\(scheme)://" + (authority.hasPrefix("api.") ? authority.dropFirst(4) : authority)
            remoteHosts = [web, "ssh." + web]
        }
    }

    /// Reads the variables that GitHub Actions sets; one that is unset or empty means the default.
    package init(environment: [String: String]) throws(AirbossError) {
        func value(_ name: String) -> String? {
            guard let value = environment[name], !value.isEmpty else { return nil }
            return value
        }
        try self.init(
            api: value(GitHubEndpoints.apiVariable) ?? GitHubEndpoints.defaultAPI,
            server: value(GitHubEndpoints.serverVariable))
    }

    /// The address without a slash at its end, and its host in lower case.
    private static func base(_ text: String, _ variable: String) throws(AirbossError) -> (text: String, host: String) {
        func refused(_ why: String, _ hint: String) -> AirbossError {
            // The value itself stays out of the message: it may hold a password.
            AirbossError(.configuration, "\(variable) \(why)", hint: hint)
        }
        let example = "Write it like https://github.example.com/api/v3, or leave it unset for github.com."
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), let parts = URLComponents(string: text),
            let host = parts.host?.lowercased(), !host.isEmpty, let scheme = parts.scheme?.lowercased(),
            scheme == "http" || scheme == "https"
        else { throw refused("is not an http or https URL", example) }
        guard parts.user == nil, parts.password == nil else {
            throw refused("holds a user name or password", "Credentials belong in \(GitHubToken.variable) only.")
        }
        guard parts.query == nil, parts.fragment == nil else {
            throw refused("has a query or a fragment, which a base URL cannot have", example)
        }
        guard scheme == "https" || isThisMachine(host) else {
            throw refused("would send the token unencrypted to \(host)", "Use https; http is for this machine only.")
        }
        var base = Substring(text)
        while base.hasSuffix("/") { base.removeLast() }
        return (String(base), host)
    }

    private static func isThisMachine(_ host: String) -> Bool {
        host == "localhost" || host.hasSuffix(".localhost") || host.hasPrefix("127.") || host == "::1"
            || host == "[::1]"
    }
}
