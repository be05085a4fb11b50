// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The bytes of a tar archive that say what follows: ustar headers, with pax records where a value does not fit.
///
/// Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header". Nothing here depends on a machine:
/// owner 0:0 without names, no device numbers, one time for all entries.
enum TarFormat {
    enum Kind: UInt8 {
        case file = 0x30
        case symlink = 0x32
        case directory = 0x35
        case paxRecords = 0x78
    }

    static let blockBytes = 512
    /// Two empty blocks end an archive.
    static let end = [UInt8](repeating: 0, count: 2 * blockBytes)
    /// The largest number eleven octal digits hold: bytes of a file, or seconds.
    static let maxOctal: Int64 = 0o77777777777
    static let maxNameBytes = 100

    /// The zeros after a content of `size` bytes.
    static func padding(after size: Int64) -> Int {
        let rest = Int(size % Int64(blockBytes))
        return rest == 0 ? 0 : blockBytes - rest
    }

    /// One entry's header blocks. `name` has no slash at its end, also for a directory.
    static func header(
        name: [UInt8], kind: Kind, mode: UInt16, size: Int64 = 0, modified: Int64, link: [UInt8] = []
    ) -> [UInt8] {
        let fullName = kind == .directory ? name + [TreePath.slash] : name
        var records: [UInt8] = []
        if needsRecord(fullName) { records += record("path", fullName) }
        if needsRecord(link) { records += record("linkpath", link) }
        if size > maxOctal { records += record("size", Array(String(size).utf8)) }
        if modified < 0 || modified > maxOctal { records += record("mtime", Array(String(modified).utf8)) }

        var blocks: [UInt8] = []
        if !records.isEmpty {
            blocks += block(
                name: Array("././@PaxHeader".utf8), kind: .paxRecords, mode: 0o644, size: Int64(records.count),
                modified: modified, link: [])
            blocks += records
            blocks += [UInt8](repeating: 0, count: padding(after: Int64(records.count)))
        }
        blocks += block(name: fullName, kind: kind, mode: mode, size: size, modified: modified, link: link)
        return blocks
    }

    /// ustar names are at most 100 bytes of ASCII; its prefix field is not used, so that there is one way only to write
    /// a name.
    private static func needsRecord(_ value: [UInt8]) -> Bool {
        value.count > maxNameBytes || value.contains { $0 >= 0x80 }
    }

    /// `LENGTH KEY=VALUE\n`, where the length counts itself.
    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let rest = [UInt8(ascii: " ")] + Array(key.utf8) + [UInt8(ascii: "=")] + value + [UInt8(ascii: "\n")]
        var length = rest.count
        while String(length).utf8.count + rest.count != length {
            length = String(length).utf8.count + rest.count
        }
        return Array(String(length).utf8) + rest
    }

    private static func block(
        name: [UInt8], kind: Kind, mode: UInt16, size: Int64, modified: Int64, link: [UInt8]
    ) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: blockBytes)
        func put(_ bytes: some Collection<UInt8>, at offset: Int) {
            block.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        func plain(_ value: [UInt8]) -> [UInt8] {
            value.prefix(maxNameBytes).map { $0 < 0x80 ? $0 : UInt8(ascii: "?") }
        }
        put(plain(name), at: 0)
        put(octal(Int64(mode), digits: 7), at: 100)
        put(octal(0, digits: 7), at: 108)
        put(octal(0, digits: 7), at: 116)
        put(octal(size > maxOctal ? 0 : size, digits: 11), at: 124)
        put(octal(min(max(0, modified), maxOctal), digits: 11), at: 136)
        put([UInt8](repeating: UInt8(ascii: " "), count: 8), at: 148)
        block[156] = kind.rawValue
        put(plain(link), at: 157)
        put(Array("ustar\0".utf8) + Array("00".utf8), at: 257)
        put(octal(0, digits: 7), at: 329)
        put(octal(0, digits: 7), at: 337)
        let sum = block.reduce(Int64(0)) { $0 + Int64($1) }
        put(octal(sum, digits: 6) + [0, UInt8(ascii: " ")], at: 148)
        return block
    }

    private static func octal(_ value: Int64, digits: Int) -> [UInt8] {
        let text = String(value, radix: 8)
        return Array(repeating: UInt8(ascii: "0"), count: digits - text.utf8.count) + Array(text.utf8)
    }
}
