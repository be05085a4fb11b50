// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
package import FoundationEssentials
internal import Model

/// The chain of an audit record: each record names the hash of the one before it, so that none can be changed, removed
/// or moved unseen. The hash of a record is the SHA-256 of its line as it is exported; `sha256sum` can tell it.
package enum AuditChain {
    /// What a store has of one record, in columns by which it is found and in its document.
    struct Row: Hashable, Sendable {
        var chain: String
        var sequence: Int64
        var at: Timestamp
        var kind: String
        var pipeline: String
        var app: String?
        var run: String?
        var document: Data
        var checksum: Data

        var sealed: SealedAuditRecord {
            SealedAuditRecord(
                chain: chain, sequence: sequence, document: document, hash: AuditChain.hexadecimal(checksum))
        }
    }

    /// What the first record names as the one before it; it binds the chain to its id.
    static func origin(of chain: String) -> Data {
        Data(SHA256.hash(data: Data("airboss audit 1\n\(chain)".utf8)))
    }

    package static func hexadecimal(_ data: Data) -> String {
        let digits = Array("0123456789abcdef")
        return String(data.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// SHA-256 in hexadecimal.
    package static func hash(_ data: Data) -> String { hexadecimal(Data(SHA256.hash(data: data))) }

    /// A name for a new chain that no other has.
    static func makeID() -> String {
        hexadecimal(Data((0..<16).map { _ in UInt8.random(in: .min ... .max) }))
    }

    /// Gives a record its place behind the one with the checksum `previous`.
    static func seal(_ record: AuditRecord, chain: String, sequence: Int64, after previous: Data) -> Row {
        var json = record.json
        json["chain"] = .string(chain)
        json["sequence"] = .integer(sequence)
        json["previous"] = .string(hexadecimal(previous))
        let document = Data(json.text().utf8)
        return Row(
            chain: chain, sequence: sequence, at: record.entry.at, kind: record.entry.kind,
            pipeline: record.pipeline, app: record.app?.rawValue, run: record.run?.rawValue, document: document,
            checksum: Data(SHA256.hash(data: document)))
    }

    /// The members that give a record its place; without them it is what was recorded.
    static let placeMembers = ["chain", "sequence", "previous"]

    /// Verifies the records of one chain as they come, in the order of their numbers.
    struct Verifier {
        let chain: String
        private(set) var count: Int64 = 0
        private var next: Int64 = 1
        private var previous: Data

        init(_ chain: String) {
            self.chain = chain
            previous = AuditChain.origin(of: chain)
        }

        private func finding(_ sequence: Int64?, _ detail: String) -> AuditVerdict.Finding {
            AuditVerdict.Finding(chain: chain, sequence: sequence, detail: detail)
        }

        /// What is wrong with a record, or between it and the one before it.
        mutating func take(_ row: Row) -> [AuditVerdict.Finding] {
            var found: [AuditVerdict.Finding] = []
            let number = row.sequence
            defer {
                count += 1
                next = number + 1
                previous = row.checksum
            }
            if number < next {
                found.append(finding(number, "record \(number) stands where none belongs"))
            } else if number > next {
                found.append(missing(next, number - 1))
            }
            if Data(SHA256.hash(data: row.document)) != row.checksum {
                found.append(finding(number, "record \(number) was changed: it does not match its hash"))
                return found
            }
            guard let json = try? JSONValue(parsing: row.document), json.object != nil else {
                found.append(finding(number, "record \(number) was replaced: it is no record"))
                return found
            }
            if json["chain"]?.string != chain || json["sequence"]?.integer.map(Int64.init) != number {
                let said = json["sequence"]?.integer.map(String.init) ?? "no number"
                found.append(finding(number, "record \(number) was moved or replaced: it says that it is \(said)"))
            } else if found.isEmpty, json["previous"]?.string != AuditChain.hexadecimal(previous) {
                found.append(
                    finding(
                        number,
                        number == 1
                            ? "record 1 is not the first of this chain"
                            : "record \(number) does not follow record \(number - 1): one of them was replaced"))
            }
            // What records are found by must say the same as the record.
            let isSame =
                json["at"]?.string == row.at.description && json["kind"]?.string == row.kind
                && json["pipeline"]?.string == row.pipeline && json["app"]?.string == row.app
                && json["run"]?.string == row.run
            if !isSame { found.append(finding(number, "record \(number) is listed as something that it is not")) }
            return found
        }

        private func missing(_ first: Int64, _ last: Int64) -> AuditVerdict.Finding {
            finding(
                first, first == last ? "record \(first) is missing" : "records \(first) to \(last) are missing")
        }

        /// What is wrong with the end, given where the chain should end.
        func end(at head: (sequence: Int64, checksum: Data)) -> [AuditVerdict.Finding] {
            let last = next - 1
            if last < head.sequence { return [missing(next, head.sequence)] }
            if last > head.sequence {
                return [finding(head.sequence + 1, "records follow record \(head.sequence), where the chain ends")]
            }
            return previous == head.checksum
                ? [] : [finding(last, "record \(last), the last, is not the one that was recorded")]
        }
    }

    // MARK: - Exported chains

    /// Verifies exported lines: the records of each chain in their order, and behind them where it ends. What it finds
    /// names lines from 1.
    ///
    /// - Parameter noted: where chains must end, as somebody noted it down elsewhere.
    package static func verify(lines: [Substring], against noted: [AuditHead] = []) -> AuditVerdict {
        var verdict = AuditVerdict()
        var verifiers: [String: Verifier] = [:]
        for (index, line) in lines.enumerated() {
            guard let json = try? JSONValue(parsing: String(line)), json.object != nil else {
                verdict.add([.init(chain: "", sequence: nil, detail: "line \(index + 1) is no JSON object")])
                continue
            }
            if let head = json["head"] {
                verdict.add(end(head, of: &verifiers, &verdict.heads))
                continue
            }
            guard let chain = json["chain"]?.string, let sequence = json["sequence"]?.integer,
                let time = json["at"]?.string.flatMap(Timestamp.init)
            else {
                verdict.add([.init(chain: "", sequence: nil, detail: "line \(index + 1) is no record")])
                continue
            }
            let document = Data(line.utf8)
            var verifier = verifiers[chain] ?? Verifier(chain)
            // An exported line has no hash beside it: the record after it has.
            let row = Row(
                chain: chain, sequence: Int64(sequence), at: time, kind: json["kind"]?.string ?? "",
                pipeline: json["pipeline"]?.string ?? "", app: json["app"]?.string, run: json["run"]?.string,
                document: document, checksum: Data(SHA256.hash(data: document)))
            verdict.add(verifier.take(row))
            verifiers[chain] = verifier
            verdict.records += 1
        }
        for chain in verifiers.keys.sorted() where !verdict.heads.contains(where: { $0.chain == chain }) {
            verdict.add([.init(chain: chain, sequence: nil, detail: "the line with the end of the chain is missing")])
        }
        for head in noted where !verdict.heads.contains(head) {
            verdict.add([
                .init(
                    chain: head.chain, sequence: head.sequence,
                    detail: "the chain does not end where it was noted down that it ends")
            ])
        }
        return verdict
    }

    private static func end(
        _ head: JSONValue, of verifiers: inout [String: Verifier], _ heads: inout [AuditHead]
    ) -> [AuditVerdict.Finding] {
        guard let chain = head["chain"]?.string, let sequence = head["sequence"]?.integer,
            let hash = head["hash"]?.string
        else { return [.init(chain: "", sequence: nil, detail: "a line with the end of a chain is damaged")] }
        heads.append(AuditHead(chain: chain, sequence: Int64(sequence), hash: hash))
        let verifier = verifiers[chain] ?? Verifier(chain)
        guard let checksum = data(hexadecimal: hash) else {
            return [.init(chain: chain, sequence: nil, detail: "the hash at the end of the chain is none")]
        }
        return verifier.end(at: (Int64(sequence), checksum))
    }

    static func data(hexadecimal text: String) -> Data? {
        let digits = text.map(\.hexDigitValue)
        guard digits.count.isMultiple(of: 2), !digits.contains(nil) else { return nil }
        let values = digits.compactMap { $0 }
        return Data(stride(from: 0, to: values.count, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) })
    }
}
