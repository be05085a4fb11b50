// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc
internal import Model
internal import Subprocess

/// Signing and verifying with SSH keys, by the `ssh-keygen` that is installed (ssh-keygen(1), -Y sign and -Y verify).
struct SSHSignatures {
    /// The file that says whose key is whose.
    let allowedSigners: String

    /// The longest output of ssh-keygen that is read.
    private static let maxOutputBytes = 64 << 10

    struct Problem: Error, Hashable, Sendable {
        var text: String
    }

    /// Signs; a passphrase is asked for at the terminal by ssh-keygen itself.
    static func sign(_ data: Data, key: String) async throws(Problem) -> String {
        let result = try await run(["-Y", "sign", "-n", Approval.namespace, "-f", key], input: data)
        guard result.status == 0, result.output.hasPrefix("-----BEGIN SSH SIGNATURE-----") else {
            throw Problem(text: line(result.errors, else: "ssh-keygen made no signature"))
        }
        return result.output
    }

    /// Verifies that `signer` signed the data, and returns the fingerprint of the key.
    func verify(_ data: Data, signature: String, signer: String) async throws(Problem) -> String {
        guard access(allowedSigners, R_OK) == 0 else {
            throw Problem(text: "\(allowedSigners), which says whose key is whose, cannot be read")
        }
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let file = folder.path + "/signature"
        do throws(AirbossError) {
            try NewFile.write(Data(signature.utf8), to: file)
        } catch {
            throw Problem(text: error.message)
        }
        let result = try await SSHSignatures.run(
            ["-Y", "verify", "-f", allowedSigners, "-I", signer, "-n", Approval.namespace, "-s", file], input: data)
        guard result.status == 0, let key = SSHSignatures.fingerprint(in: result.output) else {
            let why = SSHSignatures.line(result.output + result.errors, else: "ssh-keygen does not say why")
            throw Problem(text: "its signature is not one of \(signer)'s (\(why))")
        }
        return key
    }

    /// `SHA256:…` in ssh-keygen's `Good "…" signature for … with ED25519 key SHA256:…`.
    private static func fingerprint(in output: String) -> String? {
        guard output.hasPrefix("Good \"\(Approval.namespace)\" signature for ") else { return nil }
        return output.split(whereSeparator: \.isWhitespace).last { $0.hasPrefix("SHA256:") }.map(String.init)
    }

    /// The public half of a key, as `TYPE BASE64`; nil where it can't be had without a passphrase.
    static func publicKey(of key: String) async throws(Problem) -> String? {
        let written: String
        // Beside most keys lies their public half, for which nobody is asked anything.
        if let text = try? TextFile.read(key.hasSuffix(".pub") ? key : key + ".pub") {
            written = text
        } else {
            let result = try await run(["-y", "-P", "", "-f", key], input: Data())
            guard result.status == 0 else { return nil }
            written = result.output
        }
        let words = written.split(whereSeparator: \.isWhitespace)
        return words.count >= 2 ? "\(words[0]) \(words[1])" : nil
    }

    /// Who may sign with a key, by the first name of its line that is no pattern; nil where no line has the key.
    func signer(of publicKey: String) -> String? {
        guard let text = try? TextFile.read(allowedSigners) else { return nil }
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard line.contains(publicKey), let names = line.split(separator: " ").first else { continue }
            let plain = names.split(separator: ",").map { $0.filter { $0 != "\"" } }
            return plain.first { !$0.contains(where: { "*?!".contains($0) }) }
        }
        return nil
    }

    /// Who is who: the names that each line gives to its key, and those of lines with the same key, together. A line
    /// may also name GitHub accounts. Empty where the file can't be read: then nobody is known to be anybody else.
    func people() -> [Set<String>] {
        guard let text = try? TextFile.read(allowedSigners) else { return [] }
        var byKey: [String: Set<String>] = [:]
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            let words = line.split(whereSeparator: \.isWhitespace)
            // Options may stand between the names and the key, which is two words: its type and its text.
            guard let type = words.firstIndex(where: { SSHSignatures.isKeyType($0) }), type > 0, type + 1 < words.count
            else { continue }
            let names = words[0].split(separator: ",").map { $0.filter { $0 != "\"" }.lowercased() }
                .filter { !$0.contains(where: { "*?!".contains($0) }) }
            byKey[String(words[type + 1]), default: []].formUnion(names)
        }
        var groups: [Set<String>] = []
        for names in byKey.values.sorted(by: { ($0.min() ?? "") < ($1.min() ?? "") }) {
            // Who has two keys is one person.
            let same = groups.filter { !$0.isDisjoint(with: names) }
            groups.removeAll { !$0.isDisjoint(with: names) }
            groups.append(same.reduce(names) { $0.union($1) })
        }
        return groups
    }

    /// Every name of whoever has this one; empty where nobody has.
    static func names(of name: String, in people: [Set<String>]) -> [String] {
        people.first { $0.contains(name.lowercased()) }?.sorted() ?? []
    }

    private static func isKeyType(_ word: Substring) -> Bool {
        word.hasPrefix("ssh-") || word.hasPrefix("ecdsa-") || word.hasPrefix("sk-")
    }

    // MARK: - The program

    private struct Finished {
        var status: Int32
        var output: String
        var errors: String
    }

    /// The input comes from a file: ssh-keygen may end without having read it all, and swift-subprocess 1.0.2 does not
    /// survive that its writing fails.
    private static func run(_ arguments: [String], input: Data) async throws(Problem) -> Finished {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let file = folder.path + "/input"
        do throws(AirbossError) {
            try NewFile.write(input, to: file)
        } catch {
            throw Problem(text: error.message)
        }
        do {
            let result = try await Subprocess.run(
                .name("sh"), arguments: Arguments(["-c", #"exec ssh-keygen "$@" <"$0""#, file] + arguments),
                input: .none,
                output: .string(limit: maxOutputBytes), error: .string(limit: maxOutputBytes))
            let status: Int32 = if case .exited(let code) = result.terminationStatus { code } else { -1 }
            return Finished(
                status: status, output: result.standardOutput, errors: result.standardError)
        } catch {
            throw Problem(text: "ssh-keygen could not be run: \(error)")
        }
    }

    /// The first line that says something.
    private static func line(_ text: String, else other: String) -> String {
        let lines = text.split(whereSeparator: \.isNewline).map { TerminalText.line(String($0)) }
        return lines.first { !$0.hasPrefix("Signing") && !$0.allSatisfy(\.isWhitespace) } ?? other
    }
}

/// A folder for this user only that lives as long as somebody needs it.
struct TemporaryFolder {
    let path: String

    init() throws(SSHSignatures.Problem) {
        let root = FileManager.default.temporaryDirectory.path
        var template = Array((root + "/airboss-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw SSHSignatures.Problem(text: "no folder can be made in \(root): \(String(cString: strerror(errno)))")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// What is left behind is the system's to clean.
    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
