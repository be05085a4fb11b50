// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Notifications

/// Untrusted text made fit for a terminal.
enum TerminalText {
    /// One line without control characters, which could move the cursor or recolour what follows, and without secrets.
    ///
    /// A runner of GitHub Actions takes `::name::` at a line's beginning, and `##[name]` anywhere, for commands: what
    /// comes from a commit or a machine must not be one.
    static func line(_ text: String) -> String {
        let plain = String(
            Redactor.redact(text).unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) }
        ).replacing("##[", with: "# #[")
        let start = plain.drop { $0 == " " }
        return start.hasPrefix("::") ? ": :" + start.dropFirst(2) : plain
    }

    /// `1 m 05 s`, `12.3 s`, `450 ms`.
    static func duration(_ duration: Duration) -> String {
        let milliseconds = duration.wholeMilliseconds
        if milliseconds < 1_000 { return "\(milliseconds) ms" }
        if milliseconds < 60_000 { return "\(milliseconds / 1_000).\(milliseconds % 1_000 / 100) s" }
        let seconds = milliseconds / 1_000
        let rest = seconds % 60
        if seconds < 3_600 { return "\(seconds / 60) m \(rest < 10 ? "0" : "")\(rest) s" }
        let minutes = seconds % 3_600 / 60
        return "\(seconds / 3_600) h \(minutes < 10 ? "0" : "")\(minutes) m"
    }
}
