// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// A file of holidays: a date a line, with a name if one likes; `#` begins a comment.
///
///     # Bavaria
///     2026-12-25  Erster Weihnachtstag
///     2026-12-26  # observed
package struct HolidayList: Hashable, Sendable {
    /// One line that is not right.
    package struct Problem: Hashable, Sendable {
        /// Counted from 1.
        package var line: Int
        /// Counted from 1.
        package var column: Int
        package var message: String
        package var hint: String
    }

    package struct Malformed: Error, Hashable, Sendable {
        /// In the order of lines; at least one, at most ``HolidayList/maxProblems``.
        package var problems: [Problem]
    }

    /// Ascending.
    package var holidays: [Holiday]
    /// What is allowed and probably not meant.
    package var warnings: [Problem]

    /// Bytes of a file.
    package static let maxBytes = 256 * 1024
    package static let maxProblems = 20

    /// Reads the text of such a file; throws all the lines that are not right.
    package init(parsing text: String) throws(Malformed) {
        holidays = []
        warnings = []
        var problems: [Problem] = []
        var lines: [CivilDate: Int] = [:]
        let body = text.hasPrefix("\u{FEFF}") ? String(text.unicodeScalars.dropFirst()) : text
        for (index, line) in body.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let content = line.prefix { $0 != "#" }
            let words = content.split(maxSplits: 1, whereSeparator: \.isWhitespace)
            guard let first = words.first else { continue }
            let column = line.distance(from: line.startIndex, to: first.startIndex) + 1
            func problem(_ message: String, _ hint: String) -> Problem {
                Problem(line: index + 1, column: column, message: message, hint: hint)
            }
            guard let date = CivilDate(first) else {
                let shown = first.unicodeScalars.prefix(40).map { $0.value < 0x20 ? "?" : String($0) }.joined()
                let isDate = first.count == 10 && first.filter { $0 == "-" }.count == 2
                problems.append(
                    problem(
                        isDate ? "there is no day \(shown)" : "“\(shown)” is no date",
                        "a line is a date and, if you like, a name: 2026-12-25 Christmas Day"))
                continue
            }
            if let before = lines[date] {
                warnings.append(problem("\(date) is in line \(before) already", "remove one of the two lines"))
                continue
            }
            lines[date] = index + 1
            var name = words.count > 1 ? words[1].drop(while: \.isWhitespace) : ""
            while name.last?.isWhitespace == true { name.removeLast() }
            holidays.append(Holiday(date: date, name: name.isEmpty ? "holiday of \(date)" : String(name)))
        }
        guard problems.isEmpty else {
            throw Malformed(problems: Array(problems.prefix(HolidayList.maxProblems)))
        }
        holidays.sort { $0.date < $1.date }
    }

    /// The last day the list knows; nil where it is empty.
    package var lastDay: CivilDate? { holidays.last?.date }
}
