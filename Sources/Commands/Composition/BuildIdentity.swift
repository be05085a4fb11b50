// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Glibc

/// Which program this is, exactly: two that were built from different sources differ, though their versions may not.
package enum BuildIdentity {
    /// The version and the linker's build id; nil where the linker gave none.
    package static let current: String? = note(of: "/proc/self/exe").map { "\(Version.current) \($0)" }

    /// The type of the note that holds the build id (elf(5), `NT_GNU_BUILD_ID`).
    private static let buildIDType: UInt32 = 3
    /// The type of a program header that tells where notes are (elf(5), `PT_NOTE`).
    private static let noteHeaderType: UInt32 = 4
    /// Notes are some hundred bytes.
    private static let maxNoteBytes: UInt64 = 64 * 1024

    /// The build id of a 64-bit ELF file of this machine's byte order, in hexadecimal; nil where it has none.
    static func note(of path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        guard let header = read(file, 0, 64), header.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2]) else { return nil }
        let place: UInt64 = number(header, 32)
        let size: UInt16 = number(header, 54)
        let count: UInt16 = number(header, 56)
        guard size >= 56 else { return nil }
        for index in 0..<UInt64(count) {
            guard let entry = read(file, place &+ index * UInt64(size), 56) else { return nil }
            guard number(entry, 0) as UInt32 == noteHeaderType else { continue }
            let length: UInt64 = number(entry, 32)
            guard length <= maxNoteBytes, let notes = read(file, number(entry, 8), Int(length)) else { continue }
            if let found = buildID(in: notes) { return found }
        }
        return nil
    }

    /// Notes stand one after the other: the lengths of name and content, a type, then both, each filled up to four.
    private static func buildID(in notes: [UInt8]) -> String? {
        var offset = 0
        while offset + 12 <= notes.count {
            let nameLength = Int(number(notes, offset) as UInt32)
            let length = Int(number(notes, offset + 4) as UInt32)
            let type: UInt32 = number(notes, offset + 8)
            let content = offset + 12 + (nameLength + 3) / 4 * 4
            guard content + length <= notes.count else { return nil }
            if type == buildIDType, notes[(offset + 12)..<(offset + 12 + nameLength)].elementsEqual("GNU\0".utf8) {
                return notes[content..<(content + length)].map { byte in
                    let digits = String(byte, radix: 16)
                    return digits.count == 1 ? "0" + digits : digits
                }.joined()
            }
            offset = content + (length + 3) / 4 * 4
        }
        return nil
    }

    private static func read(_ file: Int32, _ offset: UInt64, _ count: Int) -> [UInt8]? {
        guard let place = off_t(exactly: offset) else { return nil }
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = max(0, pread(file, buffer.baseAddress, count, place))
        }
        return bytes.count == count ? bytes : nil
    }

    private static func number<Number: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int) -> Number {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }
}
