// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc
internal import Model

/// Turns a machine's config and its image into the process to run. Pure, but for the image's own user list.
struct GuestRecipe {
    static let maxFileBytes = 8 * 1024 * 1024

    var image: UnpackedImage
    var spec: GuestSpec
    var canChangeUser: Bool

    /// `processes[0]`, which refines the machine's `init` where a config has it.
    private var process: JSONValue? { spec.config["processes"]?[0] }

    /// The program and its arguments: what the config says, else what the image says. As with containers, a new
    /// entrypoint drops the image's command.
    func arguments() throws -> [String] {
        func words(_ key: String) -> [String]? {
            for source in [process, spec.config["init"]] {
                if let list = source?[key]?.array, !list.isEmpty { return list.compactMap(\.string) }
            }
            return nil
        }
        if let whole = words("exec") { return whole }
        let entrypoint = words("entrypoint")
        let command = words("cmd") ?? (entrypoint == nil ? image.command : [])
        let result = (entrypoint ?? image.entrypoint) + command
        guard !result.isEmpty else { throw GuestProblem("the image has neither an entrypoint nor a command") }
        return result
    }

    /// The image's environment, then the machine's, then the process's.
    func environment() -> [String] {
        var merged = ["PATH": Launch.toolPath, "HOME": "/root"]
        for entry in image.environment {
            guard let equals = entry.firstIndex(of: "=") else { continue }
            merged[String(entry[..<equals])] = String(entry[entry.index(after: equals)...])
        }
        merged.merge(spec.environment) { _, last in last }
        merged.merge((process?["env"]?.object ?? [:]).compactMapValues(\.string)) { _, last in last }
        return merged.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    /// The config's `files`, after those that every machine has.
    func files() throws -> [GuestPlan.File] {
        let hosts = "127.0.0.1\tlocalhost \(spec.machine)\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        var result = [
            GuestPlan.File(path: "/etc/hosts", contents: Data(hosts.utf8), mode: 0o644),
            GuestPlan.File(path: "/etc/hostname", contents: Data((spec.machine + "\n").utf8), mode: 0o644),
        ]
        for file in spec.config["files"]?.array ?? [] {
            guard let path = file["guest_path"]?.string, path.hasPrefix("/"), !path.hasSuffix("/") else {
                throw GuestProblem("a file of the config has no absolute guest_path")
            }
            let encoded: String
            if let raw = file["raw_value"]?.string {
                encoded = raw
            } else if let secret = file["secret_name"]?.string {
                guard let value = spec.environment[secret] else {
                    throw GuestProblem("\(path) wants the secret \(secret), which the app does not have")
                }
                encoded = value
            } else {
                throw GuestProblem("\(path) has neither raw_value nor secret_name; nothing else can be simulated")
            }
            guard let contents = Data(base64Encoded: encoded), contents.count <= GuestRecipe.maxFileBytes else {
                throw GuestProblem("the content of \(path) is not base64, or over \(GuestRecipe.maxFileBytes) bytes")
            }
            let mode = file["mode"]?.integer.flatMap { UInt32(exactly: $0) } ?? 0o644
            result.append(GuestPlan.File(path: path, contents: contents, mode: mode & 0o7777))
        }
        return result
    }

    /// The volumes, each a folder below `directory` that outlives the machine's versions.
    func volumes(in directory: String) throws -> [GuestPlan.Volume] {
        try (spec.config["mounts"]?.array ?? []).map { mount in
            guard let path = mount["path"]?.string, path.hasPrefix("/"), path != "/" else {
                throw GuestProblem("a mount of the config has no absolute path")
            }
            let name = mount["volume"]?.string ?? mount["name"]?.string ?? spec.machine
            let isSafe = name.utf8.allSatisfy { byte in
                byte == 0x5F || byte == 0x2D || (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5A)
                    || (byte >= 0x61 && byte <= 0x7A)
            }
            guard isSafe, !name.isEmpty else { throw GuestProblem("“\(name)” is not a volume's id") }
            return GuestPlan.Volume(source: directory + "/" + name, target: path)
        }
    }

    /// The ports that services and checks name, each once.
    static func ports(of config: JSONValue) -> [Int] {
        var ports: Set<Int> = []
        for service in config["services"]?.array ?? [] {
            if let port = service["internal_port"]?.integer { ports.insert(port) }
            for check in service["checks"]?.array ?? [] {
                if let port = check["port"]?.integer { ports.insert(port) }
            }
        }
        for check in (config["checks"]?.object ?? [:]).values {
            if let port = check["port"]?.integer { ports.insert(port) }
        }
        return ports.filter { (1...65_535).contains($0) }.sorted()
    }

    /// The user to run as, by number or by the image's own `/etc/passwd` and `/etc/group`; nil for root.
    func user() throws -> (user: UInt32, group: UInt32)? {
        let text = process?["user"]?.string ?? image.user
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard canChangeUser, let name = parts.first, !name.isEmpty, name != "root", name != "0" else { return nil }
        var found: (user: UInt32, group: UInt32)
        if let number = UInt32(name) {
            found = (number, entry("passwd") { $0.count > 3 && $0[2] == name }.flatMap { UInt32($0[3]) } ?? 0)
        } else if let line = entry("passwd", where: { $0.count > 3 && $0[0] == name }), let user = UInt32(line[2]) {
            found = (user, UInt32(line[3]) ?? 0)
        } else {
            throw GuestProblem("the image has no user “\(name)”")
        }
        if parts.count > 1 {
            if let number = UInt32(parts[1]) {
                found.group = number
            } else if let line = entry("group", where: { $0.count > 2 && $0[0] == parts[1] }),
                let group = UInt32(line[2])
            {
                found.group = group
            } else {
                throw GuestProblem("the image has no group “\(parts[1])”")
            }
        }
        return found
    }

    /// A line of one of the image's account files; one that is a link, or below one, is not followed.
    private func entry(_ file: String, where matches: ([String]) -> Bool) -> [String]? {
        var information = stat()
        guard lstat(image.root + "/etc", &information) == 0, information.st_mode & S_IFMT == S_IFDIR,
            lstat(image.root + "/etc/" + file, &information) == 0, information.st_mode & S_IFMT == S_IFREG,
            information.st_size <= GuestRecipe.maxFileBytes
        else { return nil }
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: image.root + "/etc/" + file))
        } catch {
            return nil  // An unreadable list names nobody.
        }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").lazy
            .map { $0.split(separator: ":", omittingEmptySubsequences: false).map(String.init) }
            .first(where: matches)
    }
}

/// Signals by the names machine configs use.
enum SignalName {
    /// Reads `SIGTERM`, `TERM` or `15`; nil for anything else.
    static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
        let upper = text.uppercased()
        return numbers[upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper]
    }

    private static let numbers: [String: Int32] = [
        "HUP": SIGHUP, "INT": SIGINT, "QUIT": SIGQUIT, "ILL": SIGILL, "TRAP": SIGTRAP, "ABRT": SIGABRT,
        "BUS": SIGBUS, "FPE": SIGFPE, "KILL": SIGKILL, "USR1": SIGUSR1, "SEGV": SIGSEGV, "USR2": SIGUSR2,
        "PIPE": SIGPIPE, "ALRM": SIGALRM, "TERM": SIGTERM, "CHLD": SIGCHLD, "CONT": SIGCONT, "STOP": SIGSTOP,
        "TSTP": SIGTSTP, "TTIN": SIGTTIN, "TTOU": SIGTTOU, "URG": SIGURG, "XCPU": SIGXCPU, "XFSZ": SIGXFSZ,
        "VTALRM": SIGVTALRM, "PROF": SIGPROF, "WINCH": SIGWINCH, "SYS": SIGSYS,
    ]
}
