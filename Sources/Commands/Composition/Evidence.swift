// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc
internal import Journals
internal import Model
internal import Notifications

/// A folder of evidence in the making: files that are not changed any more, and last the manifest that names them.
struct EvidenceFolder {
    static let manifestName = "EVIDENCE_MANIFEST.json"
    static let auditName = "audit.jsonl"

    let path: String
    private(set) var files: [JSONValue] = []
    /// What could not be had, and why.
    private(set) var missing: [JSONValue] = []

    /// Makes the folder, which must not be there yet, for this user only.
    init(_ path: String) throws(AirbossError) {
        self.path = path
        guard mkdir(path, 0o700) == 0 else {
            throw AirbossError(
                .usage, "\(path) cannot be made: \(String(cString: strerror(errno)))",
                hint: "name a folder that is there, in which this user may write, with --to")
        }
    }

    mutating func add(_ name: String, _ data: Data) throws(AirbossError) {
        try NewFile.write(data, to: path + "/" + name)
        files.append([
            "name": .string(name), "bytes": .integer(Int64(data.count)), "sha256": .string(AuditChain.hash(data)),
        ])
    }

    mutating func add(_ name: String, _ json: JSONValue) throws(AirbossError) {
        try add(name, Data((json.text(pretty: true) + "\n").utf8))
    }

    mutating func lack(_ what: String, _ why: String) {
        missing.append(["what": .string(what), "why": .string(Redactor.redact(why))])
    }

    /// Writes the manifest and returns its SHA-256.
    func finish(_ incident: JSONValue, heads: [AuditHead]) throws(AirbossError) -> String {
        let manifest: JSONValue = [
            "schema": 1, "incident": incident, "files": .array(files), "missing": .array(missing),
            "audit_heads": .array(heads.map(\.json)),
        ]
        let data = Data((manifest.text(pretty: true) + "\n").utf8)
        try NewFile.write(data, to: path + "/" + EvidenceFolder.manifestName)
        return AuditChain.hash(data)
    }
}

/// Evidence that was written before, to be verified.
struct EvidenceCheck {
    private(set) var findings: [String] = []
    private(set) var files = 0
    /// Whether the audit record of the state store was there to compare with.
    private(set) var isCompared = false
    private let folder: String
    private var heads: [AuditHead] = []
    private var manifestHash = ""
    private var incident = ""
    private var recorded: [String] = []

    /// Compares every file with the manifest. Throws where there is no manifest to compare with.
    init(_ folder: String) throws(AirbossError) {
        self.folder = folder
        let path = folder + "/" + EvidenceFolder.manifestName
        let data = try TextFile.data(path)
        guard let manifest = try? JSONValue(parsing: data), let listed = manifest["files"]?.array else {
            throw AirbossError(.needsHuman, "\(path) is no manifest of evidence", hint: "it was damaged or replaced")
        }
        manifestHash = AuditChain.hash(data)
        incident = manifest["incident"]?["id"]?.string ?? ""
        heads = (manifest["audit_heads"]?.array ?? []).compactMap { head in
            guard let chain = head["chain"]?.string, let sequence = head["sequence"]?.integer,
                let hash = head["hash"]?.string
            else { return nil }
            return AuditHead(chain: chain, sequence: Int64(sequence), hash: hash)
        }
        var named: Set<String> = [EvidenceFolder.manifestName]
        for file in listed {
            guard let name = file["name"]?.string, !name.contains("/"), name != "..", !name.isEmpty else {
                findings.append("the manifest names a file outside its folder")
                continue
            }
            named.insert(name)
            files += 1
            do throws(AirbossError) {
                let data = try TextFile.data(folder + "/" + name)
                if data.count != file["bytes"]?.integer || AuditChain.hash(data) != file["sha256"]?.string {
                    findings.append("\(name) was changed: it has another SHA-256 than the manifest says")
                }
                if name == EvidenceFolder.auditName {
                    recorded = String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
                }
            } catch {
                findings.append("\(name) is missing: \(error.message)")
            }
        }
        do {
            for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            where !named.contains(name) {
                findings.append("\(name) is in the folder and not in the manifest")
            }
        } catch {
            findings.append("the folder can't be listed: \(error)")
        }
    }

    /// Compares with the state store: the chain goes on from where it was, has every record of the evidence, and a
    /// record that this very manifest was written.
    mutating func compare(with store: any StateStore) async throws(StateError) {
        isCompared = true
        findings += try await store.verifyAudit(against: heads).findings.map { "in the state store, \($0.detail)" }
        for (index, line) in recorded.enumerated() {
            guard let json = try? JSONValue(parsing: line), let chain = json["chain"]?.string,
                let sequence = json["sequence"]?.integer,
                let found = try await store.auditRecords(of: chain, after: Int64(sequence) - 1, limit: 1).first,
                found.line == line
            else {
                findings.append("line \(index + 1) of \(EvidenceFolder.auditName) is not in the audit record")
                continue
            }
        }
        let exports = try await store.auditRecords(AuditFilter(), limit: EvidenceCheck.maxSearched)
            .filter { $0.json["kind"]?.string == AuditEntry.Kind.incidentExported.rawValue }
        if !exports.contains(where: { $0.json["after"]?["manifest_sha256"]?.string == manifestHash }) {
            findings.append("the audit record does not say that this manifest was written for \(incident)")
        }
    }

    /// How many of the newest records are searched for the export itself.
    private static let maxSearched = 100_000
}

extension JSONValue {
    /// A machine's config for people: values of its environment whose names mean a secret, and what files hold, are
    /// left out.
    var withoutConfigSecrets: JSONValue {
        switch self {
        case .object(let members):
            return .object(
                Dictionary(
                    uniqueKeysWithValues: members.map { name, value in
                        switch (name, value) {
                        case ("env", .object(let variables)):
                            return (
                                name,
                                .object(
                                    Dictionary(
                                        uniqueKeysWithValues: variables.map { key, value in
                                            (key, JSONValue.variable(key, value))
                                        }))
                            )
                        case ("raw_value", _): return (name, .string(Redactor.mark))
                        default: return (name, value.withoutConfigSecrets)
                        }
                    }))
        case .array(let elements): return .array(elements.map(\.withoutConfigSecrets))
        case .string(let text): return .string(Redactor.redact(text))
        case .null, .bool, .integer, .number: return self
        }
    }

    /// One variable of an environment as it may be shown.
    static func variable(_ name: String, _ value: JSONValue) -> JSONValue {
        guard let text = value.string else { return value }
        // Read as an assignment, the name tells as well.
        let isSecret = Redactor.redact("\(name)=\(text)").hasPrefix("\(name)=\(Redactor.mark)")
        return .string(isSecret ? Redactor.mark : Redactor.redact(text))
    }

    /// The differences from another document, one per line: `path: before → after`.
    func differences(from other: JSONValue, at path: String = "") -> [String] {
        if self == other { return [] }
        switch (other, self) {
        case (.object(let old), .object(let new)):
            return Set(old.keys).union(new.keys).sorted().flatMap { key -> [String] in
                let place = path.isEmpty ? key : "\(path).\(key)"
                switch (old[key], new[key]) {
                case (nil, let new?): return ["\(place): added \(new.text())"]
                case (let old?, nil): return ["\(place): removed \(old.text())"]
                case (let old?, let new?): return new.differences(from: old, at: place)
                case (nil, nil): return []
                }
            }
        case (.array(let old), .array(let new)) where old.count == new.count:
            return zip(old, new).enumerated().flatMap { index, pair in
                pair.1.differences(from: pair.0, at: "\(path)[\(index)]")
            }
        default: return ["\(path): \(other.text()) → \(text())"]
        }
    }
}
