// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import PipelineFiles
import Testing

/// Every kind of bad fly.toml: the exact place and what is said.
@Suite struct FlyTomlErrorTests {
    struct Bad: Sendable, CustomTestStringConvertible {
        var text: String
        /// `line:column: message` of each error, in order.
        var errors: [String]
        /// What the first suggestion holds.
        var suggestion: String

        init(_ text: String, _ errors: [String], _ suggestion: String = "") {
            self.text = text
            self.errors = errors
            self.suggestion = suggestion
        }

        var testDescription: String { errors.first ?? text }
    }

    @Test(arguments: bad)
    func `bad input gets its place and a suggestion`(_ bad: Bad) {
        let error = #expect(throws: PipelineFileErrors.self) {
            try FlyToml(parsing: bad.text, path: "fly.toml", app: "hotdash") { _ in
                .failure(FlyToml.FileProblem("there is no such file"))
            }
        }
        let found = (error?.diagnostics ?? []).map { "\($0.line):\($0.column): \($0.message)" }
        #expect(found == bad.errors)
        if !bad.suggestion.isEmpty {
            #expect(
                error?.diagnostics.first?.suggestion.contains(bad.suggestion) == true, "\(String(describing: error))")
        }
    }

    static let bad: [Bad] = [
        Bad(
            "app = \"hotdash-staging\"\n",
            ["1:7: this fly.toml is for the app “hotdash-staging”, and the pipeline deploys “hotdash”"], "fly_toml"),
        Bad(
            "# a\n\n  prmary_region = \"ord\"\n", ["3:3: “prmary_region” is not a key of a fly.toml"],
            "“primary_region”"),
        Bad(
            "[http_service]\ninternal_port = 1\n[http_service.concurency]\ntype = \"requests\"\n",
            ["3:15: “concurency” is not a key of http_service"], "“concurrency”"),
        Bad(
            "[[services]]\ninternal_port = 1\n[[services.ports]]\nport = 80\n[[services.ports]]\nprot = 81\n",
            ["5:12: the entry names no port", "6:1: “prot” is not a key of services.ports"]),
        Bad(
            "[[services]]\ninternal_port = 1\nports = [{ port = 80 }, { port = 443, handler = [] }]\n",
            ["3:39: “handler” is not a key of services.ports"], "“handlers”"),
        Bad(
            "[deploy]\nrelease_command = \"migrate\"\n",
            [
                "2:1: “deploy.release_command” is not supported, and leaving it out would change what is deployed"
            ], "not supported yet"),
        Bad(
            "deploy.release_command = \"migrate\"\n",
            [
                "1:8: “deploy.release_command” is not supported, and leaving it out would change what is deployed"
            ]),
        Bad(
            "machine_config = \"x.json\"\n",
            [
                "1:1: “machine_config” is not supported, and leaving it out would change what is deployed"
            ]),
        Bad("[build.compose]\nfile = \"c.yml\"\n", ["1:8: “build.compose” is not supported"]),
        Bad(
            "[experimental]\nenable_consul = true\n",
            [
                "2:1: “experimental.enable_consul” is not supported, and leaving it out would change what is deployed"
            ]),
        Bad(
            "app = \"hotdash\n",
            [
                "1:15: TOML syntax: Error while parsing string: unescaped control "
                    + "characters other than TAB (U+0009) are explicitly prohibited"
            ]),
        Bad(
            "app = \"hotdash\"\napp = \"b\"\n",
            ["2:7: TOML syntax: Error while parsing key-value pair: cannot redefine existing string 'app'"]),
        Bad("a = [1, }\n", ["1:9: TOML syntax: a value is missing"]),
        Bad("a = # none\n", ["1:5: TOML syntax: a value is missing"]),
        Bad("[ *a]\n", ["1:3: TOML syntax: a table's header must name a key"]),
        Bad("a = [\n[{ b = 1 }],\n[\n]]\n[[.a]]\n", ["5:3: TOML syntax: a table's header must name a key"]),
        Bad("env = { A = \"\\u0000\" }\n", ["1:1: the line holds a NUL character"]),
        Bad("kill_timeout = \"soon\"\n", ["1:16: “kill_timeout” is not a duration: “soon”"]),
        Bad(
            "[env]\nA = [1]\nB = 1979-05-27\nC = 1.5\nD = 1\n",
            [
                "2:5: “A” is a list; expected text", "3:5: “B” is a date; expected text",
            ]),
        Bad("[http_service]\nforce_https = true\n", ["1:2: “internal_port” is missing in http_service"]),
        Bad("[http_service]\ninternal_port = \"3000\"\n", ["2:17: “internal_port” is text; expected a whole number"]),
        Bad("[http_service]\ninternal_port = 70000\n", ["2:17: “internal_port” is 70000; it must be from 1 to 65535"]),
        Bad(
            "[http_service]\ninternal_port = 1\nauto_stop_machines = \"maybe\"\n",
            [
                "3:22: “auto_stop_machines” is “maybe”; expected one of off, stop, suspend"
            ]),
        Bad(
            "[processes]\nweb = \"a\"\n[http_service]\ninternal_port = 1\n",
            [
                "3:2: http_service names no process group, though the file has [processes]"
            ], "processes = [\"web\"]"),
        Bad(
            "[processes]\nweb = \"a\"\n[[vm]]\nsize = \"shared-cpu-1x\"\nprocesses = [\"web\", \"wbe\"]\n",
            [
                "5:21: vm names the process group “wbe”, which there is not"
            ], "“web”"),
        Bad(
            "[[services]]\ninternal_port = 1\nprocesses = [\"api\"]\nports = [{ port = 1 }]\n",
            [
                "3:14: services names the process group “api”, which there is not"
            ], "groups of this file: app"),
        Bad(
            "[mounts]\nsource = \"a\"\ndestination = \"/a\"\nprocesses = [\"db\"]\n",
            [
                "4:14: mounts names the process group “db”, which there is not"
            ]),
        Bad(
            "[[mounts]]\nsource = \"a\"\ndestination = \"/a\"\n[[mounts]]\nsource = \"b\"\ndestination = \"/b\"\n",
            [
                "4:3: the group “app” has a second mount; a machine takes one volume"
            ]),
        Bad(
            "[[vm]]\nsize = \"shared-cpu-3x\"\n",
            [
                "2:8: “size” is “shared-cpu-3x”; expected one of shared-cpu-1x, shared-cpu-2x, shared-cpu-4x, "
                    + "shared-cpu-6x, shared-cpu-8x, performance-1x, performance-2x, performance-4x, performance-6x, "
                    + "performance-8x, performance-10x, performance-12x, performance-14x, performance-16x, a10, "
                    + "a100-40gb, a100-80gb, l40s"
            ], "“shared-cpu-1x”"),
        Bad("[[vm]]\nmemory = \"lots\"\n", ["2:10: “memory” is not a size"]),
        Bad("[processes]\nweb = \"a 'b\"\n", ["2:7: the command of “web” has an open quote"]),
        Bad(
            "[checks.alive]\ntype = \"tcp\"\n",
            [
                "1:9: the check “alive” has no port, and the group “app” no http_service to take it from"
            ]),
        Bad(
            "[checks.alive]\ntype = \"udp\"\nport = 1\ninterval = \"1s\"\ntimeout = \"2m\"\n",
            [
                "2:8: “type” is “udp”; expected one of http, tcp", "4:12: “interval” is below the platform's 2s",
                "5:11: “timeout” is above the platform's 60s",
            ]),
        Bad(
            "[[files]]\nguest_path = \"/a\"\n",
            [
                "1:3: a file needs exactly one of local_path, secret_name, raw_value"
            ]),
        Bad(
            "[[files]]\nguest_path = \"/a\"\nlocal_path = \"b.txt\"\n",
            [
                "3:14: “b.txt” cannot be read: there is no such file"
            ]),
        Bad(
            "[[restart]]\npolicy = \"sometimes\"\n",
            [
                "2:10: “policy” is “sometimes”; expected one of always, never, on-failure"
            ]),
        Bad(
            "mount = 1\n'mo.re' . \"x\\\"y\" = '''\n]\n[no]\n'''\nlast = [ # comment ]\n  [1], \"]\", # end\n]\n",
            [
                "1:1: “mount” is not a key of a fly.toml", "2:1: “mo.re” is not a key of a fly.toml",
                "6:1: “last” is not a key of a fly.toml",
            ], "“mounts”"),
    ]

    @Test func `keys that change nothing are accepted, and what is overruled is said`() throws {
        let text = """
            app = "hotdash"
            console_command = "/bin/bash"
            [build]
            dockerfile = "Dockerfile"
            [deploy]
            strategy = "canary"
            max_unavailable = 0.5
            wait_timeout = "10m"
            release_command_timeout = "5m"
            [experimental]
            auto_rollback = true
            [mounts]
            source = "a"
            destination = "/a"
            snapshot_retention = 7
            """
        let file = try FlyToml(parsing: text, path: "fly.toml", app: "hotdash") { _ in .success([]) }
        #expect(file.warnings.map { "\($0.line):\($0.column)" } == ["6:1", "7:1", "8:1", "4:1"])
        #expect(file.warnings.allSatisfy { $0.severity == .warning })
    }
}
