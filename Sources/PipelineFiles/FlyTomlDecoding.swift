// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

extension FlyToml {
    /// What a `local_path` of `[[files]]` leads to: its bytes, or why they can't be had.
    package typealias FileReader = (_ path: String) -> Result<[UInt8], FileProblem>

    /// Why a file cannot be read, in words.
    package struct FileProblem: Error, Hashable, Sendable {
        package var reason: String
        package init(_ reason: String) { self.reason = reason }
    }

    /// Decodes fly.toml's text. `app` is the app of the pipeline, which the file must not contradict. Throws
    /// ``PipelineFileErrors`` with all that is wrong in the file.
    package init(
        parsing text: String, path: String, app expected: AppName? = nil, readFile: FileReader
    ) throws(PipelineFileErrors) {
        let document = try TOMLReading.document(text, path: path)
        var check = ShapeCheck(document: FlyTomlKeys.document)
        check.check(document, against: FlyTomlKeys.root)
        var decoding = FlyTomlDecoding(path: path, document: document, check: check)
        let file = decoding.file(SectionReader(document, FlyTomlKeys.root), expected: expected, readFile: readFile)
        let errors = decoding.check.diagnostics.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
        guard errors.isEmpty else {
            throw PipelineFileErrors(Array(errors.prefix(FileLimits.maxDiagnostics)))
        }
        self = file
    }
}

/// One pass over a checked fly.toml.
private struct FlyTomlDecoding {
    let path: String
    let document: DocumentNode
    var check: ShapeCheck
    var warnings: [Diagnostic] = []
    var groups: Set<String> = []
    /// Whether the file has a `[processes]` section with groups in it.
    var namesGroups = false

    private mutating func fail(at location: SourceLocation, _ message: String, _ suggestion: String = "") {
        check.report(Diagnostic(.error, at: location, message, suggestion: suggestion))
    }

    private mutating func warn(at location: SourceLocation, _ message: String, _ suggestion: String = "") {
        warnings.append(Diagnostic(.warning, at: location, message, suggestion: suggestion))
    }

    mutating func file(_ root: SectionReader, expected: AppName?, readFile: FlyToml.FileReader) -> FlyToml {
        checkApp(root, expected)
        let processes = self.processes(root)
        noteIgnored(root)
        let experimental = root.reader("experimental", FlyTomlKeys.experimental)
        let httpService = root.value("http_service").map { node in
            self.httpService(SectionReader(node, FlyTomlKeys.httpService))
        }
        let services = root.readers("services", FlyTomlKeys.service).map { self.service($0) }
        let mounts = root.readers("mounts", FlyTomlKeys.mount).map { self.mount($0) }
        var file = FlyToml(
            path: path, app: root.string("app").map { AppName($0) }, primaryRegion: root.string("primary_region"),
            environment: environment(root), processes: processes, warnings: [],
            killSignal: root.string("kill_signal"), killTimeout: goDuration(root, "kill_timeout", .seconds(1)),
            swapMegabytes: root.integer("swap_size_mb"), entrypoint: words(experimental, "entrypoint"),
            exec: words(experimental, "exec"), command: words(experimental, "cmd"), httpService: httpService,
            services: services, checks: [], mounts: mounts,
            metrics: root.readers("metrics", FlyTomlKeys.metrics).map { plain($0, ["port", "path", "https"]) },
            files: root.readers("files", FlyTomlKeys.file).compactMap { self.file($0, readFile) },
            restarts: root.readers("restart", FlyTomlKeys.restart).map { restart($0) },
            guests: root.readers("vm", FlyTomlKeys.vm).map { self.guest($0) },
            statics: root.readers("statics", FlyTomlKeys.statics).map { statics($0) })
        file.checks = checks(root, file)
        checkMounts(root, file)
        file.warnings = warnings
        return file
    }

    // MARK: Top level

    private mutating func checkApp(_ root: SectionReader, _ expected: AppName?) {
        guard let app = root.located("app"), let expected, app.value != expected.rawValue else { return }
        fail(
            at: app.location, "this fly.toml is for the app “\(app.value)”, and the pipeline deploys “\(expected)”",
            "name the right file in the pipeline's fly_toml, or correct app in one of the two")
    }

    private mutating func processes(_ root: SectionReader) -> [ProcessGroup: [String]] {
        var result: [ProcessGroup: [String]] = [:]
        for entry in root.value("processes")?.entries ?? [] {
            guard let text = entry.value.text else { continue }
            guard let words = ShellWords.split(text) else {
                fail(at: entry.value.location, "the command of “\(entry.key)” has an open quote", "close it")
                continue
            }
            result[ProcessGroup(entry.key)] = words
        }
        let names = (root.value("processes")?.entries ?? []).map(\.key)
        namesGroups = !names.isEmpty
        groups = Set(namesGroups ? names : ["app"])
        return result
    }

    private func environment(_ root: SectionReader) -> [String: String] {
        let pairs = (root.value("env")?.entries ?? []).compactMap { entry in
            entry.value.scalarText.map { (entry.key, $0) }
        }
        return Dictionary(pairs) { first, _ in first }
    }

    private mutating func noteIgnored(_ root: SectionReader) {
        let deploy = root.reader("deploy", FlyTomlKeys.deploy)
        for key in ["strategy", "max_unavailable", "wait_timeout"] where deploy.value(key) != nil {
            warn(
                at: deploy.node?.keyLocation(of: key) ?? document.location,
                "deploy.\(key) of fly.toml is not used; the pipeline's own deploy.\(key) is")
        }
        guard let build = root.node?["build"], let entries = build.entries, let first = entries.first else { return }
        if let compose = entries.first(where: { $0.key == "compose" }) {
            fail(
                at: compose.keyLocation, "“build.compose” is not supported",
                "describe the machines with fly.toml's own sections")
        } else {
            warn(at: first.keyLocation, "[build] of fly.toml is not used; the pipeline's own build is")
        }
    }

    // MARK: Pieces

    /// The groups a section names, each of which must exist.
    private mutating func targets(_ reader: SectionReader) -> [String] {
        let named = reader.locatedList("processes")
        for group in named where !groups.contains(group.value) {
            let known = groups.sorted().joined(separator: ", ")
            let nearest = Nearest.name(to: group.value, among: groups).map { "did you mean “\($0)”? " } ?? ""
            fail(
                at: group.location,
                "\(reader.section.name) names the process group “\(group.value)”, which there is not",
                nearest + "groups of this file: \(known)")
        }
        return named.map(\.value)
    }

    private mutating func plain(_ reader: SectionReader, _ keys: [String]) -> FlyToml.Piece {
        FlyToml.Piece(json: members(reader, keys), processes: targets(reader))
    }

    private func members(_ reader: SectionReader, _ keys: [String]) -> JSONValue {
        var json: JSONValue = [:]
        for key in keys { json[key] = reader.value(key)?.json }
        return json
    }

    private func words(_ reader: SectionReader, _ key: String) -> [String]? {
        reader.value(key).map { node in (node.list ?? [node]).compactMap(\.text) }
    }

    private func goDuration(_ reader: SectionReader, _ key: String, _ unit: Duration) -> String? {
        duration(reader, key, unit).map(DurationText.go)
    }

    private func duration(_ reader: SectionReader, _ key: String, _ unit: Duration) -> Duration? {
        guard let node = reader.value(key) else { return nil }
        if let count = node.integer { return unit * max(0, min(count, 1_000_000_000)) }
        return node.text.flatMap(DurationText.parseGo)
    }

    private mutating func httpService(_ reader: SectionReader) -> FlyToml.Piece {
        var json = scaling(reader)
        json["protocol"] = "tcp"
        let options = reader.value("http_options").map { _ in self.httpOptions(reader) }
        var plain: JSONValue = ["port": 80, "handlers": ["http"]]
        if reader.boolean("force_https") == true { plain["force_https"] = true }
        plain["http_options"] = options
        var secure: JSONValue = ["port": 443, "handlers": ["http", "tls"]]
        secure["http_options"] = options
        secure["tls_options"] = reader.value("tls_options")?.json
        json["ports"] = [plain, secure]
        let checks = reader.readers("checks", FlyTomlKeys.httpCheck).map { serviceCheck($0, type: "http") }
        json["checks"] = checks.isEmpty ? nil : .array(checks)
        return FlyToml.Piece(json: json, processes: serviceTargets(reader))
    }

    private mutating func service(_ reader: SectionReader) -> FlyToml.Piece {
        var json = scaling(reader)
        json["protocol"] = reader.value("protocol")?.json
        let ports = reader.readers("ports", FlyTomlKeys.servicePort).map { servicePort($0) }
        json["ports"] = ports.isEmpty ? nil : .array(ports)
        if ports.isEmpty { warn(at: reader.node?.location ?? document.location, "the service has no ports") }
        let checks =
            reader.readers("tcp_checks", FlyTomlKeys.tcpCheck).map { serviceCheck($0, type: "tcp") }
            + reader.readers("http_checks", FlyTomlKeys.httpCheck).map { serviceCheck($0, type: "http") }
        json["checks"] = checks.isEmpty ? nil : .array(checks)
        return FlyToml.Piece(json: json, processes: serviceTargets(reader))
    }

    private mutating func serviceTargets(_ reader: SectionReader) -> [String] {
        let named = targets(reader)
        if named.isEmpty, namesGroups {
            let first = groups.sorted().first ?? "app"
            fail(
                at: reader.node?.location ?? document.location,
                "\(reader.section.name) names no process group, though the file has [processes]",
                "add processes = [\"\(first)\"]")
        }
        return named
    }

    private func scaling(_ reader: SectionReader) -> JSONValue {
        var json: JSONValue = [:]
        json["internal_port"] = reader.value("internal_port")?.json
        switch reader.value("auto_stop_machines")?.content {
        // Off and stop are still written as truth values, for the platform's older readers.
        case .text("off"): json["autostop"] = false
        case .text("stop"): json["autostop"] = true
        case .text(let other): json["autostop"] = .string(other)
        case .boolean(let value): json["autostop"] = .bool(value)
        case .null, .integer, .number, .list, .mapping, .other, nil: break
        }
        json["autostart"] = reader.value("auto_start_machines")?.json
        json["min_machines_running"] = reader.value("min_machines_running")?.json
        json["concurrency"] = reader.value("concurrency")?.json
        return json
    }

    private func httpOptions(_ reader: SectionReader) -> JSONValue {
        members(
            reader.reader("http_options", FlyTomlKeys.httpOptions),
            ["compress", "h2_backend", "idle_timeout", "headers_read_timeout", "replay_cache", "response"])
    }

    private mutating func servicePort(_ reader: SectionReader) -> JSONValue {
        var json = members(
            reader, ["port", "start_port", "end_port", "handlers", "tls_options", "proxy_proto_options"])
        if reader.boolean("force_https") == true { json["force_https"] = true }
        if reader.value("http_options") != nil { json["http_options"] = httpOptions(reader) }
        let isRange = json["start_port"] != nil && json["end_port"] != nil
        if json["port"] == nil, !isRange, let node = reader.node {
            fail(at: node.location, "the entry names no port", "add port, or start_port and end_port")
        }
        return json
    }

    private mutating func pace(_ reader: SectionReader) -> JSONValue {
        var json: JSONValue = [:]
        for key in ["interval", "timeout", "grace_period"] {
            json[key] = goDuration(reader, key, .milliseconds(1)).map(JSONValue.string)
        }
        return json
    }

    private func request(_ reader: SectionReader, into json: inout JSONValue) {
        for key in ["method", "path", "protocol", "tls_skip_verify", "tls_server_name"] {
            json[key] = reader.value(key)?.json
        }
        // A fixed order, so that equal files give equal configs.
        let headers = (reader.value("headers")?.entries ?? []).sorted { $0.key < $1.key }.map { entry -> JSONValue in
            ["name": .string(entry.key), "values": [.string(entry.value.scalarText ?? "")]]
        }
        json["headers"] = headers.isEmpty ? nil : .array(headers)
    }

    private mutating func serviceCheck(_ reader: SectionReader, type: String) -> JSONValue {
        var json = pace(reader)
        json["type"] = .string(type)
        if type == "http" { request(reader, into: &json) }
        for key in ["interval", "timeout"] {
            guard let value = duration(reader, key, .milliseconds(1)), let node = reader.value(key) else { continue }
            if value < .seconds(1) { warn(at: node.location, "“\(key)” is below 1s; the platform raises it to 1s") }
            if value > .seconds(60) { warn(at: node.location, "“\(key)” is above 1m; the platform lowers it to 1m") }
        }
        return json
    }

    private mutating func checks(_ root: SectionReader, _ file: FlyToml) -> [FlyToml.Check] {
        var result: [FlyToml.Check] = []
        for entry in root.value("checks")?.entries ?? [] {
            let reader = SectionReader(entry.value, FlyTomlKeys.check)
            var json = pace(reader)
            json["type"] = reader.value("type")?.json
            json["port"] = reader.value("port")?.json
            request(reader, into: &json)
            json["method"] = reader.string("method").map { .string($0.uppercased()) }
            let piece = FlyToml.Piece(json: json, processes: targets(reader))
            if let interval = duration(reader, "interval", .milliseconds(1)), interval < .seconds(2) {
                fail(
                    at: reader.value("interval")?.location ?? entry.keyLocation, "“interval” is below the platform's 2s"
                )
            }
            if let timeout = duration(reader, "timeout", .milliseconds(1)), timeout > .seconds(60) {
                fail(
                    at: reader.value("timeout")?.location ?? entry.keyLocation, "“timeout” is above the platform's 60s")
            }
            let lacking = file.groups.first { group in
                json["port"] == nil && file.isFor(group, piece)
                    && !(file.httpService.map { file.isFor(group, $0) } ?? false)
            }
            if let lacking {
                fail(
                    at: entry.keyLocation,
                    "the check “\(entry.key)” has no port, and the group “\(lacking)” no http_service to take it from",
                    "add port")
            }
            result.append(FlyToml.Check(name: entry.key, piece: piece))
        }
        return result
    }

    private mutating func mount(_ reader: SectionReader) -> FlyToml.Piece {
        var json: JSONValue = [:]
        json["name"] = reader.value("source")?.json
        json["path"] = reader.value("destination")?.json
        json["extend_threshold_percent"] = reader.value("auto_extend_size_threshold")?.json
        for (key, name) in [("auto_extend_size_increment", "add_size_gb"), ("auto_extend_size_limit", "size_gb_limit")]
        {
            guard let text = reader.located(key) else { continue }
            guard let size = GuestSizes.gigabytes(text.value), size >= 1 else {
                fail(at: text.location, "“\(key)” is not a size of at least 1gb", "write it like \"10gb\"")
                continue
            }
            json[name] = .integer(Int64(size))
        }
        return FlyToml.Piece(json: json, processes: targets(reader))
    }

    private mutating func checkMounts(_ root: SectionReader, _ file: FlyToml) {
        let readers = root.readers("mounts", FlyTomlKeys.mount)
        for group in file.groups {
            let hits = file.mounts.indices.filter { file.isFor(group, file.mounts[$0]) }
            guard hits.count > 1, let node = readers[hits[1]].node else { continue }
            fail(at: node.location, "the group “\(group)” has a second mount; a machine takes one volume")
        }
    }

    private mutating func file(_ reader: SectionReader, _ readFile: FlyToml.FileReader) -> FlyToml.Piece? {
        guard let guestPath = reader.string("guest_path"), let node = reader.node else { return nil }
        var json: JSONValue = ["guest_path": .string(guestPath)]
        let sources = ["local_path", "secret_name", "raw_value"].filter { reader.value($0) != nil }
        guard sources.count == 1 else {
            fail(at: node.location, "a file needs exactly one of local_path, secret_name, raw_value")
            return nil
        }
        if let secret = reader.string("secret_name") { json["secret_name"] = .string(secret) }
        if let raw = reader.string("raw_value") {
            json["raw_value"] = .string(Data(raw.utf8).base64EncodedString())
        }
        if let local = reader.located("local_path") {
            switch readFile(FilePaths.join(FilePaths.folder(of: path), local.value)) {
            case .success(let bytes): json["raw_value"] = .string(Data(bytes).base64EncodedString())
            case .failure(let problem): fail(at: local.location, "“\(local.value)” cannot be read: \(problem.reason)")
            }
        }
        return FlyToml.Piece(json: json, processes: targets(reader))
    }

    private mutating func restart(_ reader: SectionReader) -> FlyToml.Piece {
        var json: JSONValue = [:]
        json["policy"] = reader.string("policy").map { .string($0 == "never" ? "no" : $0) }
        if let retries = reader.integer("retries"), retries > 0 { json["max_retries"] = .integer(Int64(retries)) }
        return FlyToml.Piece(json: json, processes: targets(reader))
    }

    private mutating func guest(_ reader: SectionReader) -> FlyToml.Piece {
        var json = GuestSizes.guest(reader.string("size") ?? GuestSizes.fallback) ?? [:]
        if reader.string("gpu_kind") != nil, reader.string("size") == nil, let node = reader.node {
            fail(at: node.keyLocation(of: "gpu_kind"), "“gpu_kind” needs a size beside it", "add size = \"a10\"")
        }
        if let memory = reader.located("memory") {
            if let megabytes = GuestSizes.megabytes(memory.value), megabytes > 0 {
                json["memory_mb"] = .integer(Int64(megabytes))
            } else {
                fail(at: memory.location, "“memory” is not a size", "write it like \"512mb\" or \"1gb\"")
            }
        }
        for key in [
            "cpu_kind", "cpus", "memory_mb", "gpus", "gpu_kind", "kernel_args", "persist_rootfs",
        ] {
            // A zero means “as the size has it”, as for flyctl.
            guard let value = reader.value(key)?.json, value != 0 else { continue }
            json[key] = value
        }
        return FlyToml.Piece(json: json, processes: targets(reader))
    }

    private func statics(_ reader: SectionReader) -> JSONValue {
        var json: JSONValue = [:]
        for key in ["guest_path", "url_prefix", "tigris_bucket", "index_document"] {
            json[key] = .string(reader.string(key) ?? "")
        }
        return json
    }
}
