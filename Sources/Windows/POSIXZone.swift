// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model

/// The rule in a TZif file's footer, which holds after the file's last transition: `PST8PDT,M3.2.0,M11.1.0`.
/// Source: RFC 9636 section 3.3 and POSIX.1-2017 section 8.3.
struct POSIXZone: Hashable, Sendable {
    struct DaylightSaving: Hashable, Sendable {
        var type: LocalTimeType
        var start: YearlyMoment
        var end: YearlyMoment
    }

    /// A day and time that comes once a year, on the wall clock that holds just before it.
    struct YearlyMoment: Hashable, Sendable {
        enum Day: Hashable, Sendable {
            /// `Jn`: 1 to 365; 29 February is never counted.
            case julian(Int)
            /// `n`: 0 to 365; 29 February is counted.
            case zeroBased(Int)
            /// `Mm.w.d`: weekday 0 is Sunday; week 5 is the month's last.
            case weekday(month: Int, week: Int, weekday: Int)
        }
        var day: Day
        /// Seconds from midnight, −167 to 167 hours.
        var time: Int

        /// Seconds since the epoch of the moment in a year, when its wall clock is read as UTC.
        func wallSeconds(in year: Int) -> Int64 {
            let date: CivilTime
            switch day {
            case .julian(let number):
                let isLeap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
                let days = number - 1 + (isLeap && number >= 60 ? 1 : 0)
                return CivilTime(year: year, month: 1, day: 1).secondsAsUTC + Int64(days * 86_400 + time)
            case .zeroBased(let number):
                return CivilTime(year: year, month: 1, day: 1).secondsAsUTC + Int64(number * 86_400 + time)
            case .weekday(let month, let week, let weekday):
                let first = CivilTime(year: year, month: month, day: 1)
                let lead = (weekday - first.isoWeekday % 7 + 7) % 7
                var number = 1 + lead + (week - 1) * 7
                let next =
                    month == 12
                    ? CivilTime(year: year + 1, month: 1, day: 1) : CivilTime(year: year, month: month + 1, day: 1)
                let length = Int((next.secondsAsUTC - first.secondsAsUTC) / 86_400)
                while number > length { number -= 7 }
                date = CivilTime(year: year, month: month, day: number)
            }
            return date.secondsAsUTC + Int64(time)
        }
    }

    var standard: LocalTimeType
    var daylightSaving: DaylightSaving?

    /// Both changes of a year in seconds since the epoch, in order. Where an end and a start fall together (daylight
    /// saving all year), the end comes first, so that the start has the last word.
    func transitions(in year: Int) -> [(at: Int64, type: LocalTimeType)] {
        guard let daylightSaving else { return [] }
        let start = daylightSaving.start.wallSeconds(in: year) - Int64(standard.offset)
        let end = daylightSaving.end.wallSeconds(in: year) - Int64(daylightSaving.type.offset)
        let changes = [(at: end, type: standard), (at: start, type: daylightSaving.type)]
        return start < end ? changes.reversed() : changes
    }

    /// What holds at `seconds` since the epoch.
    func type(at seconds: Int64) -> LocalTimeType {
        guard daylightSaving != nil else { return standard }
        let year = CivilTime(secondsAsUTC: seconds).year
        var found = standard
        var foundAt = Int64.min
        for candidate in year - 1...year + 1 {
            for change in transitions(in: candidate) where change.at <= seconds && change.at >= foundAt {
                // At one and the same instant the daylight saving that starts wins over the one that ends.
                if change.at == foundAt, !change.type.isDaylightSaving { continue }
                (found, foundAt) = (change.type, change.at)
            }
        }
        return found
    }
}

extension POSIXZone {
    /// Reads a footer; nil where it breaks the grammar.
    init?(parsing text: String) {
        var reader = Reader(bytes: Array(text.utf8))
        guard let name = reader.name(), let west = reader.offset(hours: 0...24) else { return nil }
        standard = LocalTimeType(offset: -west, isDaylightSaving: false, abbreviation: name)
        if reader.isAtEnd { return }
        guard let savingName = reader.name() else { return nil }
        var offset = -west + 3600
        if !reader.isAt(",") {
            guard let given = reader.offset(hours: 0...24) else { return nil }
            offset = -given
        }
        guard reader.take(","), let start = reader.moment(), reader.take(","), let end = reader.moment(),
            reader.isAtEnd
        else { return nil }
        let type = LocalTimeType(offset: offset, isDaylightSaving: true, abbreviation: savingName)
        daylightSaving = DaylightSaving(type: type, start: start, end: end)
    }

    private struct Reader {
        var bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { index == bytes.count }

        func isAt(_ character: Unicode.Scalar) -> Bool {
            index < bytes.count && bytes[index] == UInt8(ascii: character)
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard isAt(character) else { return false }
            index += 1
            return true
        }

        mutating func number(_ range: ClosedRange<Int>) -> Int? {
            var value = 0
            let start = index
            while index < bytes.count, bytes[index] >= 0x30, bytes[index] <= 0x39, index - start < 4 {
                value = value * 10 + Int(bytes[index] - 0x30)
                index += 1
            }
            return index > start && range.contains(value) ? value : nil
        }

        mutating func name() -> String? {
            let start: Int
            let end: Int
            if take("<") {
                start = index
                while index < bytes.count, !isAt(">") { index += 1 }
                end = index
                guard take(">") else { return nil }
            } else {
                start = index
                while index < bytes.count, (bytes[index] | 0x20) >= 0x61, (bytes[index] | 0x20) <= 0x7A { index += 1 }
                end = index
            }
            return end - start >= 3 ? String(decoding: bytes[start..<end], as: UTF8.self) : nil
        }

        /// `[+-]hh[:mm[:ss]]` in seconds.
        mutating func offset(hours: ClosedRange<Int>) -> Int? {
            let isNegative = isAt("-")
            if isAt("-") || isAt("+") { index += 1 }
            guard let hour = number(hours) else { return nil }
            var seconds = hour * 3600
            if take(":") {
                guard let minute = number(0...59) else { return nil }
                seconds += minute * 60
                if take(":") {
                    guard let second = number(0...59) else { return nil }
                    seconds += second
                }
            }
            return isNegative ? -seconds : seconds
        }

        mutating func moment() -> YearlyMoment? {
            let day: YearlyMoment.Day
            if take("J") {
                guard let number = number(1...365) else { return nil }
                day = .julian(number)
            } else if take("M") {
                guard let month = number(1...12), take("."), let week = number(1...5), take("."),
                    let weekday = number(0...6)
                else { return nil }
                day = .weekday(month: month, week: week, weekday: weekday)
            } else {
                guard let number = number(0...365) else { return nil }
                day = .zeroBased(number)
            }
            guard take("/") else { return YearlyMoment(day: day, time: 2 * 3600) }
            guard let time = offset(hours: 0...167) else { return nil }
            return YearlyMoment(day: day, time: time)
        }
    }
}
