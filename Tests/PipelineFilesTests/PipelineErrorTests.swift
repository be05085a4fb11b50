// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import PipelineFiles
import Testing

/// Every kind of bad pipeline file: the exact place, what is said, and what is suggested.
@Suite struct PipelineErrorTests {
    struct Bad: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        /// `line:column: message` of each error, in order.
        var errors: [String]
        /// What the first suggestion holds.
        var suggestion: String

        init(_ name: String, _ text: String, _ errors: [String], _ suggestion: String = "") {
            self.name = name
            self.text = text
            self.errors = errors
            self.suggestion = suggestion
        }

        /// A file that is right but for the lines at its end, which begin in line 5.
        init(_ name: String, tail: String, _ errors: [String], _ suggestion: String = "") {
            self.init(
                name, "version: 1\napp: a\nfly_toml: f.toml\nbuild: { image: a/b:c }\n" + tail, errors, suggestion)
        }

        /// A file that is right but for its build, which begins in line 4.
        init(_ name: String, build: String, _ errors: [String], _ suggestion: String = "") {
            self.init(name, "version: 1\napp: a\nfly_toml: f.toml\nbuild:\n" + build, errors, suggestion)
        }

        var testDescription: String { name }
    }

    @Test(arguments: Bad.all)
    func `bad input gets its place and a suggestion`(_ bad: Bad) {
        let error = #expect(throws: PipelineFileErrors.self) {
            try Pipeline(parsing: bad.text, path: "p.yml", environment: [:])
        }
        let found = (error?.diagnostics ?? []).map { "\($0.line):\($0.column): \($0.message)" }
        #expect(found == bad.errors)
        #expect((error?.diagnostics ?? []).allSatisfy { $0.severity == .error && $0.path == "p.yml" })
        if !bad.suggestion.isEmpty {
            #expect(
                error?.diagnostics.first?.suggestion.contains(bad.suggestion) == true, "\(String(describing: error))")
        }
    }

    @Test func `a diagnostic renders as compilers do`() {
        let place = SourceLocation(path: "pipelines/a.yml", line: 3, column: 7)
        #expect(Diagnostic(.error, at: place, "no").description == "pipelines/a.yml:3:7: error: no")
        #expect(
            Diagnostic(.warning, at: place, "no", suggestion: "yes").description
                == "pipelines/a.yml:3:7: warning: no\n  yes")
    }
}

extension PipelineErrorTests.Bad {
    static let all: [Self] = syntax + keys + types + rules

    static let syntax: [Self] = [
        Self("empty text", "", ["1:1: the file is empty"]),
        Self("only a comment", "# nothing\n", ["1:1: the file is empty"]),
        Self("a list", "- a\n- b\n", ["1:1: “” is a list; expected a set of keys"]),
        Self("a word", "hello\n", ["1:1: “” is text; expected a set of keys"]),
        Self(
            "tab indentation", tail: "deploy:\n\tstrategy: rolling\n", ["6:1: a tab character indents the line"],
            "spaces only"),
        Self(
            "an open bracket", tail: "gates:\n  secrets: [A, B\n",
            [
                "7:1: YAML syntax: did not find expected ',' or ']', "
                    + "while parsing a flow sequence that starts in line 6"
            ]),
        Self("an undefined alias", tail: "gates: *no\n", ["5:8: YAML syntax: found undefined alias"]),
        Self(
            "two documents", tail: "---\nversion: 1\n", ["5:1: YAML syntax: but found another document"]),
        Self("a tag", tail: "gates: !include x.yml\n", ["5:8: YAML tags are not supported"]),
        Self("a tag on keys", tail: "gates: !x { approvals: 0 }\n", ["5:8: YAML tags are not supported"]),
        Self(
            "a duplicate key", tail: "deploy:\n  strategy: rolling\n  strategy: canary\n",
            ["7:3: the key “strategy” is there twice; first in line 6"], "keep one"),
        Self(
            "a duplicate key in braces", tail: "deploy: { strategy: rolling, strategy: canary }\n",
            ["5:30: the key “strategy” is there twice; first in line 5"]),
        Self(
            "a duplicate key at the top", "version: 1\napp: a\napp: b\n",
            ["3:1: the key “app” is there twice; first in line 2"]),
        Self(
            "a control character", tail: "gates: \u{1}\n",
            [
                "5:8: the file is not readable as UTF-8 text: control characters are not allowed"
            ]),
        Self("a NUL", tail: "gates: \u{0}\n", ["5:8: the file holds a NUL character"]),
        Self(
            "deep brackets", tail: "gates: " + String(repeating: "[", count: 2000),
            [
                "5:72: lists and keys are nested too deep"
            ]),
        Self(
            "deep dashes", tail: "gates: \n" + String(repeating: "- ", count: 2000) + "a",
            [
                "6:257: the line is indented too far"
            ]),
        Self(
            "an alias bomb",
            tail: "a: &a [x,x]\n"
                + (0..<30).map { "b\($0): &b\($0) [*a,*a,*a,*a,*a,*a,*a,*a]\n" }.joined(),
            ["7:25: the file has too many anchors and aliases (“&” and “*”)"]),
    ]

    static let keys: [Self] = [
        Self(
            "an unknown key", tail: "deploy:\n  max_unavailabel: 1\n",
            ["6:3: “max_unavailabel” is not a key of deploy"],
            "did you mean “max_unavailable”? allowed here: strategy, max_unavailable, serving_floor"),
        Self("an unknown key at the top", tail: "deply: 1\n", ["5:1: “deply” is not a key of a pipeline"], "“deploy”"),
        Self(
            "an unknown key far from all", tail: "zzzzzzzz: 1\n", ["5:1: “zzzzzzzz” is not a key of a pipeline"],
            "allowed"),
        Self("a merge key", tail: "gates: { <<: { approvals: 0 } }\n", ["5:10: merge keys (“<<”) are not supported"]),
        Self("a list as a key", tail: "gates: { [a]: 1 }\n", ["5:10: a key must be a plain word, not a list or keys"]),
        Self(
            "everything missing", "name: x\n",
            [
                "1:1: “name” is not a key of a pipeline", "1:1: “version” is missing", "1:1: “app” is missing",
                "1:1: “fly_toml” is missing", "1:1: “build” is missing",
            ]),
        Self(
            "many errors at once",
            "version: 2\napp: [a]\nfly_toml:\nbuild: { image: a/b:c }\n"
                + "deploy: { strategy: rollign, wait_timeout: 5 }\n",
            [
                "1:10: “version” is 2; it must be from 1 to 1", "2:6: “app” is a list; expected text",
                "3:1: “fly_toml” has no value; expected text",
                "5:21: “strategy” is “rollign”; expected one of rolling, canary, bluegreen, immediate",
                "5:44: “wait_timeout” is the number 5; expected a duration such as 90s or 5m",
            ]),
        Self("nested missing", tail: "window:\n  open: [a]\n", ["6:3: “time_zone” is missing in window"], "IANA"),
        Self(
            "missing in a list", tail: "window: { time_zone: UTC, closed: [{ from: a }] }\n",
            ["5:36: “to” is missing in window.closed"]),
        Self(
            "a freeze without times", tail: "window: { time_zone: UTC, closed: [{ reason: a }] }\n",
            ["5:36: window.closed needs from and to, or every"]),
        Self(
            "a freeze with two times",
            tail: "window: { time_zone: UTC, closed: [{ from: 2026-01-01, to: 2026-01-02, every: Fri }] }\n",
            ["5:72: window.closed has both “from” and “every”"], "keep from and to, or every"),
        Self(
            "a time of high traffic without a name",
            tail: "window: { time_zone: UTC, high_traffic: [{ every: Fri }] }\n",
            ["5:42: “name” is missing in window.high_traffic"]),
        Self(
            "two build kinds", build: "  image: a/b:c\n  layers: { copy: [{ from: a, to: /a }] }\n",
            ["6:3: build has two kinds, “image” and “layers”"], "exactly one of image, layers, dockerfile, command"),
        Self(
            "no build kind", "version: 1\napp: a\nfly_toml: f\nbuild: {}\n",
            [
                "4:8: build needs exactly one of image, layers, dockerfile, command"
            ]),
        Self(
            "an unknown build kind", build: "  dokerfile: { path: a }\n",
            [
                "5:3: “dokerfile” is not a key of build",
                "5:3: build needs exactly one of image, layers, dockerfile, command",
            ], "“dockerfile”"),
    ]

    static let types: [Self] = [
        Self(
            "yes for true", tail: "gates:\n  clean_worktree: yes\n",
            [
                "6:19: “clean_worktree” is text; expected true or false"
            ], "write true"),
        Self(
            "a quoted truth", tail: "gates:\n  clean_worktree: \"true\"\n",
            [
                "6:19: “clean_worktree” is text; expected true or false"
            ]),
        Self(
            "a number for a name", "version: 1\napp: 12\nfly_toml: f\nbuild: { image: a/b:c }\n",
            [
                "2:6: “app” is the number 12; expected text"
            ], "quotes"),
        Self(
            "a quoted version", "version: \"1\"\napp: a\nfly_toml: f\nbuild: { image: a/b:c }\n",
            [
                "1:10: “version” is text; expected a whole number"
            ]),
        Self("text for a list", tail: "gates: { secrets: A }\n", ["5:19: “secrets” is text; expected a list of texts"]),
        Self("a list for keys", tail: "deploy: [a]\n", ["5:9: “deploy” is a list; expected a set of keys"]),
        Self("an empty section", tail: "deploy:\n", ["5:1: “deploy” has no value; expected a set of keys"], "remove"),
        Self(
            "a bad duration", tail: "verify: { interval: 10 s }\n",
            [
                "5:21: “interval” is not a duration: “10 s”"
            ], "1h30m"),
        Self(
            "units the wrong way round", tail: "verify: { interval: 1s1m }\n",
            [
                "5:21: “interval” is not a duration: “1s1m”"
            ]),
        Self(
            "a percentage", tail: "deploy: { max_unavailable: 50% }\n",
            [
                "5:28: “max_unavailable” is text; expected a whole number or a fraction between 0 and 1"
            ], "0.5"),
        Self(
            "a bad mode", build: "  layers: { copy: [{ from: a, to: /a, mode: \"0999\" }] }\n",
            [
                "5:45: “mode” is not a file mode; expected permissions such as \"0755\""
            ]),
        Self(
            "a status that is none", tail: "verify: { health: { status: [20] } }\n",
            [
                "5:30: “status” is 20; it must be from 100 to 599"
            ]),
        Self("an empty list of statuses", tail: "verify: { health: { status: [] } }\n", ["5:29: “status” is empty"]),
        Self("a window without hours", tail: "window: { time_zone: UTC, open: [] }\n", ["5:33: “open” is empty"]),
        Self("an empty text", tail: "source: { branch: \"\" }\n", ["5:19: “branch” is empty"]),
        Self(
            "keys for a body value", tail: "verify: { health: { body: { a: { b: c } } } }\n",
            [
                "5:32: “a” is a set of keys; expected a list of values or text, a number, true or false"
            ]),
        Self(
            "a secret's name", tail: "gates: { secrets: [A-B] }\n",
            [
                "5:20: “secrets” is not a variable's name: letters, digits and _ only"
            ]),
    ]

    static let rules: [Self] = [
        Self(
            "environments that are asked for and not named",
            tail: "gates: { approvals: 1, approvals_accept: [environment] }\n",
            ["5:42: “approvals_accept” has environment, and no environment is named"], "approval_environments"),
        Self(
            "environments that are named and not asked for",
            tail: "gates: { approvals_accept: [ssh], approval_environments: [production] }\n",
            [
                "5:58: “approval_environments” names environments, and “approvals_accept” leaves environment out"
            ], "approvals_accept"),
        Self(
            "an open variable", tail: "source: { branch: \"${A\" }\n", ["5:19: “branch”: “${” has no closing “}”"], "$$"
        ),
        Self("a nameless variable", tail: "source: { branch: \"${}\" }\n", ["5:19: “branch”: “${” names no variable"]),
        Self(
            "a variable that starts with a digit", tail: "source: { branch: \"${1A}\" }\n",
            [
                "5:19: “branch”: “${” must be followed by a variable's name: letters, digits and _"
            ]),
        Self(
            "a default in another style", tail: "source: { branch: \"${A:=b}\" }\n",
            [
                "5:19: “branch”: after the name, only “:-” and a default may follow"
            ]),
        Self(
            "a default in a default", tail: "source: { branch: \"${A:-${B}}\" }\n",
            [
                "5:19: “branch”: a default cannot hold another “${”"
            ]),
        Self(
            "a variable where none is read", tail: "verify: { health: { path: \"/${A}\" } }\n",
            [
                "5:27: “path” cannot be read from the environment"
            ]),
        Self(
            "too few attempts", tail: "verify:\n  attempts: 2\n  consecutive: 3\n",
            [
                "7:16: 3 consecutive successes cannot come from 2 attempts"
            ], "attempts to at least 3"),
        Self(
            "an interval of nothing", tail: "verify: { interval: 0s }\n",
            [
                "5:21: “interval” is 0s; it must be from 1ms to 1h"
            ]),
        Self(
            "slower than the timeout", tail: "verify: { health: { timeout: 1s, within: 2s } }\n",
            [
                "5:42: “within” is 2s, longer than the timeout of 1s"
            ]),
        Self(
            "no machine unavailable", tail: "deploy: { max_unavailable: 0 }\n",
            [
                "5:28: “max_unavailable” is 0; it must be from 1 to 10000"
            ]),
        Self(
            "all machines unavailable", tail: "deploy: { max_unavailable: 1.0 }\n",
            [
                "5:28: “max_unavailable” is 1.0; a fraction must be above 0 and below 1"
            ], "whole number"),
        Self(
            "a negative floor", tail: "deploy: { serving_floor: -1 }\n",
            [
                "5:26: “serving_floor” is -1; it must be from 0 to 10000"
            ]),
        Self("no machines", tail: "deploy: { machines: 0 }\n", ["5:21: “machines” is 0; it must be from 1 to 1000"]),
        Self(
            "machines that are no count", tail: "deploy: { machines: { web: two } }\n",
            [
                "5:28: “web” is text; expected a whole number"
            ]),
        Self(
            "a relative path of health", tail: "verify: { health: { path: health } }\n",
            [
                "5:27: “path” must start with “/”"
            ]),
        Self(
            "an address without a scheme", tail: "verify: { url: example.com }\n", ["5:16: “url” is not an address"],
            "https://"),
        Self(
            "mail over http", tail: "notify: { email: { to: [a@b], smtp: \"http://x:hunter2@y\" } }\n",
            [
                "5:37: “smtp” is not an address"
            ], "smtp://"),
        Self(
            "an image without a tag", build: "  image: a/b\n", ["5:10: the image has neither a tag nor a digest"],
            "a/b:TAG"),
        Self("an image that is none", build: "  image: \"A B:c\"\n", ["5:10: “A B:c” is not an image's name"]),
        Self(
            "leaving the tree", build: "  layers: { copy: [{ from: ../x, to: /a }] }\n",
            [
                "5:28: “from” leaves the commit's tree"
            ]),
        Self(
            "an app's name", "version: 1\napp: Hot_Dash\nfly_toml: f\nbuild: { image: a/b:c }\n",
            [
                "2:6: “app” is not an app's name"
            ]),
    ]
}
