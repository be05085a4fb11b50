// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Text for a terminal or a log: what the report says, in colour where that is wanted.
struct ReportText {
    private(set) var text = ""
    let usesColor: Bool

    enum Paint: String {
        case strong = "1"
        case faint = "2"
        case red = "31"
        case green = "32"
        case yellow = "33"
        case cyan = "36"
    }

    init(usesColor: Bool) { self.usesColor = usesColor }

    func paint(_ text: String, _ paint: Paint) -> String {
        usesColor ? "\u{1B}[\(paint.rawValue)m\(text)\u{1B}[0m" : text
    }

    /// Appends a line; control characters of what a file or an answer said would move the cursor, so they are blanks.
    mutating func line(_ line: String = "") {
        text += line + "\n"
    }

    mutating func heading(_ words: String) {
        line()
        line(paint(words, .strong))
    }

    static func plain(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
        return String(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) })
    }

    static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// A bar as long as the share of `width` characters, to an eighth of one; something is never drawn as nothing.
    static func bar(_ count: Int, of total: Int, width: Int = 28) -> String {
        guard total > 0, count > 0 else { return "" }
        let eighths = max(1, Int((Double(count) * Double(width) * 8 / Double(total)).rounded()))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    }

    /// Words in lines of at most so many characters.
    static func wrap(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        var current = ""
        for word in text.split(separator: " ") {
            if !current.isEmpty, current.count + 1 + word.count > width {
                lines.append(current)
                current = ""
            }
            current += (current.isEmpty ? "" : " ") + word
        }
        return current.isEmpty ? lines : lines + [current]
    }

    /// Columns as wide as their widest cell; the first is set left, the others right.
    mutating func table(_ rows: [[String]], indent: String = "  ") {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        for (index, row) in rows.enumerated() {
            let cells = row.enumerated().map { column, cell in
                column == 0 ? ReportText.left(cell, widths[column]) : ReportText.right(cell, widths[column])
            }
            let line = indent + cells.joined(separator: "  ")
            self.line(index == 0 ? paint(line, .faint) : line)
        }
    }

    /// A paragraph behind an indent.
    mutating func paragraph(_ text: String, indent: String, _ color: Paint? = nil) {
        for line in ReportText.wrap(ReportText.plain(text), width: 100 - indent.count) {
            self.line(indent + (color.map { paint(line, $0) } ?? line))
        }
    }
}

extension ReportText.Paint {
    init(_ outcome: RunOutcome) {
        switch outcome {
        case .verified: self = .green
        case .rolledBack, .interrupted: self = .yellow
        case .needsHuman: self = .red
        case .refused, .unavailable: self = .cyan
        }
    }
}
