// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A path inside a commit: bytes, because git promises no encoding. Untrusted.
package struct TreePath: Hashable, Comparable, Sendable {
    package var bytes: [UInt8]

    package init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    package init(_ text: String) {
        bytes = Array(text.utf8)
    }

    /// The path as text; nil where its bytes are not UTF-8.
    package var text: String? {
        String(validating: bytes, as: UTF8.self)
    }

    /// The parts between slashes.
    package var components: [ArraySlice<UInt8>] {
        bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    }

    /// Whether the path is `folder` or inside of it; everything is inside of the empty path.
    package func isInside(_ folder: TreePath) -> Bool {
        folder.bytes.isEmpty || bytes == folder.bytes
            || (bytes.starts(with: folder.bytes) && bytes[folder.bytes.count] == UInt8(ascii: "/"))
    }

    package static func < (left: TreePath, right: TreePath) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

extension TreePath: CustomStringConvertible, ExpressibleByStringLiteral {
    package init(stringLiteral value: String) { self.init(value) }

    /// For people: bytes that are not UTF-8 and control characters as `\xNN`.
    package var description: String {
        let valid = text
        var result = ""
        for scalar in (valid ?? "").unicodeScalars {
            result += scalar.properties.generalCategory == .control ? hex(UInt8(scalar.value)) : String(scalar)
        }
        if valid == nil {
            for byte in bytes { result += byte >= 0x20 && byte < 0x7F ? String(UnicodeScalar(byte)) : hex(byte) }
        }
        return result
    }

    private func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "\\x" + (digits.utf8.count < 2 ? "0" : "") + digits
    }
}
