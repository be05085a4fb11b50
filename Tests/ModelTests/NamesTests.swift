// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@Suite struct ImageReferenceTests {
    private static let digest = "sha256:" + String(repeating: "0a", count: 32)

    @Test(
        arguments: [
            ("nginx", "registry-1.docker.io", "library/nginx", nil, false),
            ("nginx:1.27", "registry-1.docker.io", "library/nginx", "1.27", false),
            ("bitnami/redis", "registry-1.docker.io", "bitnami/redis", nil, false),
            ("registry.fly.io/demo:deployment-1", "registry.fly.io", "demo", "deployment-1", false),
            ("localhost/demo", "localhost", "demo", nil, false),
            ("localhost:5000/a/b/c:T_1.2-3", "localhost:5000", "a/b/c", "T_1.2-3", false),
            ("127.0.0.1:5000/demo@\(digest)", "127.0.0.1:5000", "demo", nil, true),
            ("ghcr.io/o/app:v1@\(digest)", "ghcr.io", "o/app", "v1", true),
        ] as [(String, String, String, String?, Bool)])
    func `names are read as every client reads them`(
        _ text: String, _ registry: String, _ repository: String, _ tag: String?, _ hasDigest: Bool
    ) throws {
        let reference = try #require(ImageReference(parsing: text))
        #expect(reference.registry == registry)
        #expect(reference.repository == repository)
        #expect(reference.tag == tag)
        #expect((reference.digest != nil) == hasDigest)
        #expect(ImageReference(parsing: reference.description) == reference)
        let data = try JSONEncoder().encode([reference])
        #expect(try JSONDecoder().decode([ImageReference].self, from: data) == [reference])
    }

    @Test(arguments: [
        "", ":", "/", "a//b", "/a", "a/", "a:", "UPPER", "a b", "a@", "a@sha256:abc", "a@md5:\(digest)",
        "a:tag with space", "a:" + String(repeating: "t", count: 129), "registry.fly.io/", "é",
        "a@\(digest.uppercased())",
    ])
    func `what is no image name is refused`(_ text: String) {
        #expect(ImageReference(parsing: text) == nil)
    }

    @Test func `a pinned reference has no tag that could move`() {
        let digest = ImageDigest(Self.digest)
        let pinned = ImageReference(parsing: "registry.fly.io/demo:latest")?.pinned(to: digest)
        #expect(pinned?.description == "registry.fly.io/demo@\(digest)")
    }
}

@Suite struct IdentifierTests {
    @Test func `identifiers are bare strings in JSON, also as keys`() throws {
        let value: [MachineID: [ReleaseNumber]] = ["m1": [ReleaseNumber(71)]]
        let data = try JSONEncoder().encode(value)
        #expect(String(decoding: data, as: UTF8.self) == #"{"m1":[71]}"#)
        #expect(try JSONDecoder().decode([MachineID: [ReleaseNumber]].self, from: data) == value)
    }

    @Test(arguments: [
        ("71", 71), ("v71", 71), ("v0", 0), ("v", nil), ("", nil), ("-1", nil), ("vv1", nil), ("7 ", nil),
    ])
    func `release numbers`(_ text: String, _ value: Int?) {
        #expect(ReleaseNumber(parsing: text)?.value == value)
    }

    @Test func `short forms for people`() {
        #expect(ImageDigest("sha256:0123456789abcdef").short == "0123456789ab")
        #expect(CommitID("0123456789abcdef").short == "0123456789")
        #expect(ReleaseNumber(71).description == "v71")
    }

    @Test func `the subject is the message's first line`() {
        func commit(_ message: String) -> Commit {
            let person = Commit.Person(name: "A", email: "a@b")
            let time = Timestamp(milliseconds: 0)
            return Commit(
                id: "c", tree: "t", parents: [], author: person, committer: person, authoredAt: time,
                committedAt: time, message: message, tags: [])
        }
        #expect(commit("One\n\nTwo").subject == "One")
        #expect(commit("").subject == "")
        #expect(commit("\r\nAfter").subject == "After")
    }

    @Test func `exit codes follow from outcomes and error codes`() {
        #expect(RunOutcome.allCases.map { $0.exitCode().rawValue } == [0, 10, 12, 69, 11, 130])
        #expect(RunOutcome.interrupted.exitCode(signal: 15).rawValue == 143)
        #expect(AirbossError.Code.allCases.map(\.exitCode.rawValue) == [64, 78, 12, 13, 69, 11, 130, 143])
        let error = AirbossError(.usage, "it is wrong", hint: "mend it", location: "a.yml:1:2")
        #expect(error.description == "a.yml:1:2: it is wrong\n  mend it")
    }
}
