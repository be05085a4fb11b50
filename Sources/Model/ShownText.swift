// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Text that others wrote, made fit to be shown.
package enum ShownText {
    /// One line without control characters and runs of spaces, of at most `limit` Unicode scalars.
    package static func line(_ text: String, limit: Int) -> String {
        var line = ""
        var count = 0
        var needsSpace = false
        for scalar in text.unicodeScalars {
            let isInvisible: Bool =
                switch scalar.properties.generalCategory {
                case .control, .lineSeparator, .paragraphSeparator, .spaceSeparator, .surrogate, .privateUse,
                    .unassigned:
                    true
                // Emoji are held together by one of them; the others turn or hide what stands around them.
                case .format: scalar.value != 0x200D
                default: false
                }
            if isInvisible {
                needsSpace = count > 0
                continue
            }
            let needed = needsSpace ? 2 : 1
            guard count + needed < limit else { return line + "…" }
            if needsSpace { line.append(" ") }
            line.unicodeScalars.append(scalar)
            count += needed
            needsSpace = false
        }
        return line
    }
}
