// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Hours that come again: every week, `Mon-Fri 09:00-17:00`, or in certain weeks of a month, `2nd Tue 18:00-22:00`;
/// the end is excluded.
package struct OpenRange: Hashable, Sendable {
    /// Which of a month's Mondays, Tuesdays, … is meant.
    package enum Ordinal: Int, Sendable, CaseIterable {
        case first = 1
        case second, third, fourth, fifth
        /// The fourth or the fifth, whichever is the month's last.
        case last

        /// `2nd`.
        package var name: String { ["1st", "2nd", "3rd", "4th", "5th", "last"][rawValue - 1] }
    }

    /// Empty where the range comes every week.
    package var ordinals: Set<Ordinal> = []
    /// The days on which the range begins.
    package var weekdays: Set<Weekday>
    /// Minutes after midnight, 0 to 1439.
    package var fromMinute: Int
    /// Minutes after the midnight on which the range's day begins; more than 1440 where it ends on the day after.
    package var toMinute: Int

    /// Makes a range from minutes; one with `toMinute` not after `fromMinute` is empty.
    package init(ordinals: Set<Ordinal> = [], weekdays: Set<Weekday>, fromMinute: Int, toMinute: Int) {
        self.ordinals = ordinals
        self.weekdays = weekdays
        self.fromMinute = fromMinute
        self.toMinute = toMinute
    }

    /// Whether no instant is in the range.
    package var isEmpty: Bool {
        weekdays.isEmpty || toMinute <= fromMinute
    }

    /// Whether the range begins on a day.
    func begins(on date: CivilDate) -> Bool {
        guard weekdays.contains(date.weekday) else { return false }
        if ordinals.isEmpty { return true }
        if let number = Ordinal(rawValue: (date.day + 6) / 7), ordinals.contains(number) { return true }
        return ordinals.contains(.last) && date.adding(days: 7).month != date.month
    }

    /// Whether some instant can be in both; clock changes aside.
    func overlaps(_ other: OpenRange) -> Bool {
        let both = ordinals.intersection(other.ordinals)
        // The last one of a month is its fourth or its fifth.
        let mayMeet = [(self, other), (other, self)].contains { one, two in
            one.ordinals.contains(.last) && !two.ordinals.isDisjoint(with: [.fourth, .fifth])
        }
        guard ordinals.isEmpty || other.ordinals.isEmpty || !both.isEmpty || mayMeet else { return false }
        let week = 7 * 1440
        func intervals(_ range: OpenRange) -> [Range<Int>] {
            range.weekdays.flatMap { day -> [Range<Int>] in
                let midnight = (day.rawValue - 1) * 1440
                let interval = midnight + range.fromMinute..<midnight + range.toMinute
                return [interval, interval.lowerBound - week..<interval.upperBound - week]
            }
        }
        return intervals(self).contains { mine in intervals(other).contains { mine.overlaps($0) } }
    }
}

extension OpenRange: CustomStringConvertible {
    /// The range in the form that ``init(parsing:)`` reads.
    package var description: String {
        func clock(_ minute: Int) -> String { padded(minute / 60, 2) + ":" + padded(minute % 60, 2) }
        let weeks = Ordinal.allCases.filter(ordinals.contains).map(\.name).joined(separator: ",")
        return (weeks.isEmpty ? "" : weeks + " ") + days + " " + clock(fromMinute) + "-"
            + clock(toMinute > 1440 ? toMinute - 1440 : toMinute)
    }

    private var days: String {
        if weekdays.count == 7 { return "daily" }
        var runs: [[Weekday]] = []
        for day in Weekday.allCases where weekdays.contains(day) {
            if let last = runs.last?.last, last.next == day {
                runs[runs.count - 1].append(day)
            } else {
                runs.append([day])
            }
        }
        // A run over the end of the week reads as one: `Sat-Mon`.
        if runs.count > 1, runs[0].first == .monday, runs[runs.count - 1].last == .sunday {
            let beginning = runs.removeFirst()
            runs[runs.count - 1] += beginning
        }
        return runs.map { run in
            run.count > 2
                ? run[0].short + "-" + run[run.count - 1].short : run.map(\.short).joined(separator: ",")
        }.joined(separator: ",")
    }
}

extension OpenRange {
    /// Reads days and hours: `Mon-Fri 09:00-17:00`, `Sat,Sun 10:00-12:00`, `daily 22:00-02:00`, `weekdays …`,
    /// `weekends …`, `2nd Tue …`, `last Fri …`. `24:00` is midnight at the day's end; an end before the start is on the
    /// day after. Days without hours are whole days where `mayBeWholeDays`. Throws `malformedRange` with the offset of
    /// what is wrong.
    package init(parsing text: String, mayBeWholeDays: Bool = false) throws(WindowError) {
        var reader = OpenRangeReader(text: text, mayBeWholeDays: mayBeWholeDays)
        self = try reader.range()
    }
}

private struct OpenRangeReader {
    let characters: [Character]
    let mayBeWholeDays: Bool
    var index = 0
    private let example = "write days and hours such as Mon-Fri 09:00-17:00"

    init(text: String, mayBeWholeDays: Bool) {
        characters = Array(text)
        self.mayBeWholeDays = mayBeWholeDays
    }

    mutating func range() throws(WindowError) -> OpenRange {
        skipSpaces()
        let ordinals = try ordinals()
        let weekdays = try days()
        if mayBeWholeDays, characters[index...].allSatisfy({ $0 == " " || $0 == "\t" }) {
            return OpenRange(ordinals: ordinals, weekdays: weekdays, fromMinute: 0, toMinute: 1440)
        }
        guard isSpace else { throw error("the hours are missing", hint: example + ", or Mon-Fri 00:00-24:00") }
        skipSpaces()
        let fromAt = index
        let from = try clock()
        skipSpaces()
        guard takeDash() else { throw error("there is no end after the opening time", hint: example) }
        skipSpaces()
        let to = try clock()
        skipSpaces()
        if index < characters.count {
            let isMore = characters[index] == ","
            throw error(
                isMore ? "a range has one opening and one closing time" : "something follows the closing time",
                hint: isMore ? "write the second pair of times as a range of its own" : example)
        }
        guard from < 1440 else {
            index = fromAt
            throw error("a range can't open at 24:00", hint: "write 00:00 of the day after")
        }
        guard from != to else {
            index = fromAt
            throw error(
                "the range opens and closes at the same minute", hint: "for the whole day write 00:00-24:00")
        }
        return OpenRange(
            ordinals: ordinals, weekdays: weekdays, fromMinute: from, toMinute: to < from ? to + 1440 : to)
    }

    private func error(_ what: String, hint: String) -> WindowError {
        let shown = String(characters.prefix(80))
        return WindowError(.malformedRange, "“\(shown)” is no range of hours: \(what)", hint: hint, offset: index)
    }

    private var isSpace: Bool { index < characters.count && (characters[index] == " " || characters[index] == "\t") }

    private mutating func skipSpaces() {
        while isSpace { index += 1 }
    }

    /// A hyphen or the en dash that text editors make of it.
    private mutating func takeDash() -> Bool {
        guard index < characters.count, characters[index] == "-" || characters[index] == "–" else { return false }
        index += 1
        return true
    }

    /// `1st`, `2nd,4th`, `last`; empty where the days come first.
    private mutating func ordinals() throws(WindowError) -> Set<OpenRange.Ordinal> {
        var found: Set<OpenRange.Ordinal> = []
        while index < characters.count {
            let start = index
            var end = index
            while end < characters.count, characters[end].isLetter || characters[end].isNumber { end += 1 }
            let word = String(characters[start..<end]).lowercased()
            guard let ordinal = OpenRange.Ordinal.allCases.first(where: { $0.name == word }) else {
                guard !found.isEmpty || (characters[start].isNumber && word.last?.isLetter == true) else { break }
                guard found.isEmpty || characters[start].isNumber else { break }
                throw error("“\(word)” is no week of a month", hint: "write 1st, 2nd, 3rd, 4th, 5th or last")
            }
            found.insert(ordinal)
            index = end
            let isMore = index < characters.count && characters[index] == ","
            if isMore { index += 1 }
            skipSpaces()
            if !isMore { break }
        }
        return found
    }

    private mutating func days() throws(WindowError) -> Set<Weekday> {
        guard index < characters.count else { throw error("it is empty", hint: example) }
        if characters[index].isNumber {
            throw error("the days are missing", hint: "write daily or days such as Mon-Fri before the hours")
        }
        var found: Set<Weekday> = []
        while true {
            let start = index
            let word = self.word()
            switch word.lowercased() {
            case "daily": found.formUnion(Weekday.allCases)
            case "weekdays": found.formUnion([.monday, .tuesday, .wednesday, .thursday, .friday])
            case "weekends": found.formUnion([.saturday, .sunday])
            default:
                let first = try weekday(word, at: start)
                found.insert(first)
                if takeDash() {
                    let secondAt = index
                    let last = try weekday(self.word(), at: secondAt)
                    guard last != first else {
                        index = start
                        throw error("the days begin and end on \(first.name)", hint: "write \(first.short), or daily")
                    }
                    var day = first
                    while day != last {
                        day = day.next
                        found.insert(day)
                    }
                }
            }
            guard index < characters.count, characters[index] == "," else { return found }
            index += 1
            skipSpaces()
        }
    }

    private mutating func word() -> String {
        let start = index
        while index < characters.count, characters[index].isLetter { index += 1 }
        return String(characters[start..<index])
    }

    private mutating func weekday(_ word: String, at start: Int) throws(WindowError) -> Weekday {
        if let day = Weekday(word) { return day }
        index = start
        guard !word.isEmpty else { throw error("a day is missing", hint: example) }
        let names = Weekday.allCases.flatMap { [$0.short, $0.name] } + ["daily", "weekdays", "weekends"]
        let near = Nearest.name(to: word, among: names)
        throw error("“\(word)” is no day", hint: near.map { "did you mean \($0)?" } ?? example)
    }

    /// Minutes after midnight, 0 to 1440.
    private mutating func clock() throws(WindowError) -> Int {
        let start = index
        func digits(_ at: Int) -> Int? {
            guard at + 2 <= characters.count, let tens = digit(at), let ones = digit(at + 1) else { return nil }
            return tens * 10 + ones
        }
        guard let hour = digits(start), start + 2 < characters.count, characters[start + 2] == ":",
            let minute = digits(start + 3), start + 5 >= characters.count || digit(start + 5) == nil
        else {
            throw error("a time is missing or not written as hours and minutes", hint: "write 09:00 or 17:30")
        }
        guard hour * 60 + minute <= 1440, minute < 60 else {
            throw error("there is no such time of day", hint: "times are 00:00 to 24:00")
        }
        index = start + 5
        if index < characters.count, characters[index].isLetter || characters[index] == ":" {
            throw error("times are hours and minutes of a 24-hour clock", hint: "write 09:00 or 17:30")
        }
        return hour * 60 + minute
    }

    private func digit(_ at: Int) -> Int? {
        guard characters[at].isASCII else { return nil }
        return characters[at].wholeNumberValue
    }
}

extension OpenRange: Codable {
    package init(from decoder: any Decoder) throws {
        try self.init(parsing: decoder.singleValueContainer().decode(String.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
