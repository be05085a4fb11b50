// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import GitHub
import Model
import Testing

/// Which GitHub, which repository, which token.
@Suite struct EndpointsTests {
    @Test(arguments: [
        ("https://api.github.com", "https://github.com", "github.com"),
        ("https://github.example.com/api/v3/", "https://github.example.com", "github.example.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com", "acme.ghe.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1"),
    ]) func `pages and remotes follow from the API's address`(_ api: String, _ server: String, _ host: String) throws {
        let endpoints = try GitHubEndpoints(api: api)
        #expect(endpoints.server == server)
        #expect(endpoints.remoteHosts.contains(host))
        #expect(!endpoints.api.hasSuffix("/"))
    }

    @Test(arguments: [
        "github.example.com", "ftp://github.com", "https://user:secretpw@github.com", "https://github.com?x=secretpw",
        "http://github.example.com/secretpw", "https:///x", "https://gi thub.com",
    ]) func `an address that can't be used is refused without being shown`(_ text: String) {
        let error = #expect(throws: AirbossError.self) { try GitHubEndpoints(environment: ["GITHUB_API_URL": text]) }
        #expect(error?.code == .configuration)
        #expect(error?.message.contains("GITHUB_API_URL") == true)
        #expect(error?.description.contains("secretpw") == false)
    }

    @Test func `an empty variable means github com`() throws {
        let endpoints = try GitHubEndpoints(environment: ["GITHUB_API_URL": "", "GITHUB_SERVER_URL": ""])
        #expect(endpoints.api == "https://api.github.com")
    }

    @Test(arguments: [
        ("https://github.com/acme/shop.git", "acme/shop"), ("https://github.com/acme/shop", "acme/shop"),
        ("https://GitHub.com/acme/shop/", "acme/shop"), ("github.com:acme/shop.git", "acme/shop"),
        ("git@github.com:acme/shop.git", "acme/shop"), ("ssh://git@github.com:22/acme/shop.git", "acme/shop"),
        ("ssh://ssh.github.com:443/acme/shop.js.git", "acme/shop.js"), ("git://github.com/acme/shop", "acme/shop"),
    ]) func `a remote names its repository`(_ remote: String, _ wanted: String) throws {
        let hosts = try GitHubEndpoints().remoteHosts
        #expect(GitHubRepository(remote: remote, hosts: hosts)?.description == wanted)
    }

    @Test(arguments: [
        "https://gitlab.com/acme/shop.git", "https://github.com.evil.example/acme/shop", "/srv/git/shop.git", "../shop",
        "https://github.com/acme", "https://github.com/acme/shop/tree/main", "file:///github.com/acme/shop",
        "https://evil.example/github.com:acme/shop", "", "github.com:", "https://github.com",
    ]) func `any other remote names none`(_ remote: String) throws {
        let hosts = try GitHubEndpoints().remoteHosts
        #expect(GitHubRepository(remote: remote, hosts: hosts) == nil)
    }

    @Test(arguments: ["", "shop", "a/b/c", "/shop", "acme/", "acme/..", "acme/sh op", "acme/shop?x", "acme/shöp"])
    func `what is no repository is none`(_ text: String) { #expect(GitHubRepository(text) == nil) }

    @Test(arguments: ["", "two words", "line\n", "quoted\"", "tökenvalue"]) func `what is no token is refused unseen`(
        _ text: String
    ) {
        let error = #expect(throws: AirbossError.self) { try GitHubToken(environment: ["GITHUB_TOKEN": text]) }
        #expect(error?.code == .configuration)
        if text.count > 3 { #expect(error?.description.contains(text) == false) }
    }

    @Test func `a token never shows itself`() throws {
        let token = try GitHubToken(StandIn.token)
        #expect("\(token) \(String(reflecting: token))" == "GitHubToken(hidden) GitHubToken(hidden)")
        var dumped = ""
        dump(token, to: &dumped)
        #expect(!dumped.contains("ghp_"))
    }
}
