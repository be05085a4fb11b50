// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What a registry wants to see before it answers, from `WWW-Authenticate`. Source: RFC 9110, 11.6.1.
struct RegistryChallenge: Hashable, Sendable {
    /// In lower case.
    var scheme: String
    /// Names in lower case.
    var parameters: [String: String]

    /// Every challenge of every field; a field may hold several, and quoted values may hold commas.
    static func parse(_ fields: [String]) -> [RegistryChallenge] {
        fields.flatMap { field in
            var scanner = Scanner(bytes: Array(field.utf8))
            return scanner.challenges()
        }
    }

    private struct Scanner {
        let bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func challenges() -> [RegistryChallenge] {
            var found: [RegistryChallenge] = []
            while true {
                skip(" \t,")
                let word = token()
                guard !word.isEmpty else {
                    if index >= bytes.count { return found }
                    index += 1  // a stray character: whatever it is, the next token may still make sense
                    continue
                }
                skip(" \t")
                if index < bytes.count, bytes[index] == UInt8(ascii: "="), !found.isEmpty {
                    index += 1
                    skip(" \t")
                    found[found.count - 1].parameters[word.lowercased()] = value()
                } else {
                    found.append(RegistryChallenge(scheme: word.lowercased(), parameters: [:]))
                }
            }
        }

        private mutating func skip(_ characters: String) {
            while index < bytes.count, characters.utf8.contains(bytes[index]) { index += 1 }
        }

        private mutating func token() -> String {
            let start = index
            while index < bytes.count, bytes[index] > 0x20, bytes[index] < 0x7F,
                !"()<>@,;\\\"[]?={}".utf8.contains(bytes[index])
            {
                index += 1
            }
            return String(decoding: bytes[start..<index], as: UTF8.self)
        }

        private mutating func value() -> String {
            guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return token() }
            index += 1
            var text: [UInt8] = []
            while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                if bytes[index] == UInt8(ascii: "\\"), index + 1 < bytes.count { index += 1 }
                text.append(bytes[index])
                index += 1
            }
            index = min(index + 1, bytes.count)  // also where the closing quote is missing
            return String(decoding: text, as: UTF8.self)
        }
    }
}
