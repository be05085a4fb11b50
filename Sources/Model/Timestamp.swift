// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A point in time: whole milliseconds since 1970-01-01T00:00:00Z; written as RFC 3339 in UTC.
package struct Timestamp: Hashable, Comparable, Sendable {
    /// Milliseconds since the Unix epoch; negative before it.
    package var milliseconds: Int64

    package init(milliseconds: Int64) { self.milliseconds = milliseconds }

    package init(secondsSinceEpoch seconds: Int64) { self.milliseconds = seconds * 1000 }

    /// Later than anything that happens here, and still far enough from the end of numbers to be reckoned with.
    package static let distantFuture = Timestamp(secondsSinceEpoch: 253_402_300_799)

    /// Whole seconds since the Unix epoch, rounded down.
    package var secondsSinceEpoch: Int64 { milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000 }

    package static func < (left: Timestamp, right: Timestamp) -> Bool { left.milliseconds < right.milliseconds }

    package static func + (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(milliseconds: left.milliseconds + right.wholeMilliseconds)
    }

    package static func - (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(milliseconds: left.milliseconds - right.wholeMilliseconds)
    }

    package static func - (left: Timestamp, right: Timestamp) -> Duration {
        .milliseconds(left.milliseconds - right.milliseconds)
    }
}

extension Duration {
    /// The whole milliseconds in this duration, rounded toward zero.
    package var wholeMilliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }

    /// The duration in seconds.
    package var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

/// A date of the proleptic Gregorian calendar and a time of day, in no particular zone.
package struct CivilTime: Hashable, Comparable, Sendable {
    package var year: Int
    package var month: Int
    package var day: Int
    package var hour: Int
    package var minute: Int
    package var second: Int

    package init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        self.year = year
        self.month = month
        self.day = day
        self.hour = hour
        self.minute = minute
        self.second = second
    }

    /// Seconds since the epoch when this time is read as UTC. Source: H. Hinnant, "chrono-compatible low-level date
    /// algorithms", days_from_civil.
    package var secondsAsUTC: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = Int64(era) * 146_097 + Int64(dayOfEra) - 719_468
        return days * 86_400 + Int64(hour * 3600 + minute * 60 + second)
    }

    /// The civil time that `seconds` since the epoch are in UTC. Source: as for ``secondsAsUTC``, civil_from_days.
    package init(secondsAsUTC seconds: Int64) {
        var days = seconds / 86_400
        var rest = seconds % 86_400
        if rest < 0 {
            rest += 86_400
            days -= 1
        }
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let month = Int(monthIndex < 10 ? monthIndex + 3 : monthIndex - 9)
        self.init(
            year: Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0), month: month,
            day: Int(dayOfYear - (153 * monthIndex + 2) / 5 + 1), hour: Int(rest / 3600), minute: Int(rest % 3600 / 60),
            second: Int(rest % 60))
    }

    /// 1 is Monday, 7 is Sunday (ISO 8601).
    package var isoWeekday: Int {
        var date = self
        (date.hour, date.minute, date.second) = (0, 0, 0)
        let days = date.secondsAsUTC / 86_400
        let weekday = (days + 3) % 7
        return Int(weekday < 0 ? weekday + 7 : weekday) + 1
    }

    package static func < (left: CivilTime, right: CivilTime) -> Bool { left.secondsAsUTC < right.secondsAsUTC }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC, with milliseconds where there are any: `2026-11-21T09:00:00Z`.
    package var description: String {
        let civil = CivilTime(secondsAsUTC: secondsSinceEpoch)
        let fraction = Int(milliseconds - secondsSinceEpoch * 1000)
        func padded(_ value: Int, _ width: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let date = "\(padded(civil.year, 4))-\(padded(civil.month, 2))-\(padded(civil.day, 2))"
        let time = "\(padded(civil.hour, 2)):\(padded(civil.minute, 2)):\(padded(civil.second, 2))"
        return date + "T" + time + (fraction == 0 ? "" : "." + padded(fraction, 3)) + "Z"
    }

    /// Reads RFC 3339 with any offset; nil where the text is not a time. Digits past the millisecond are dropped.
    package init?(_ text: String) {
        var text = text
        guard let time = text.withUTF8({ Timestamp(utf8: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = time
    }

    /// Reads the bytes of such a text.
    package init?(utf8 bytes: UnsafeRawBufferPointer) {
        func number(_ start: Int, _ count: Int) -> Int? {
            guard start + count <= bytes.count else { return nil }
            var value = 0
            for byte in bytes[start..<start + count] {
                guard byte >= 0x30, byte <= 0x39 else { return nil }
                value = value * 10 + Int(byte - 0x30)
            }
            return value
        }
        func at(_ index: Int, _ allowed: String) -> Bool { index < bytes.count && allowed.utf8.contains(bytes[index]) }
        guard let year = number(0, 4), at(4, "-"), let month = number(5, 2), at(7, "-"), let day = number(8, 2),
            at(10, "Tt "), let hour = number(11, 2), at(13, ":"), let minute = number(14, 2), at(16, ":"),
            let second = number(17, 2), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60,
            second <= 60
        else { return nil }
        let civil = CivilTime(year: year, month: month, day: day, hour: hour, minute: minute, second: min(second, 59))
        guard CivilTime(secondsAsUTC: civil.secondsAsUTC) == civil else { return nil }  // 31 February and the like
        var index = 19
        var fraction = 0
        if at(index, ".") {
            index += 1
            let start = index
            var weight = 100
            while index < bytes.count, let digit = number(index, 1) {
                fraction += digit * weight
                weight /= 10
                index += 1
            }
            guard index > start else { return nil }
        }
        var offset = 0
        if at(index, "Zz") {
            index += 1
        } else {
            guard at(index, "+-"), let hours = number(index + 1, 2), at(index + 3, ":"),
                let minutes = number(index + 4, 2), hours < 24, minutes < 60
            else { return nil }
            offset = (bytes[index] == 0x2D ? -1 : 1) * (hours * 3600 + minutes * 60)
            index += 6
        }
        guard index == bytes.count else { return nil }
        self.init(milliseconds: (civil.secondsAsUTC - Int64(offset)) * 1000 + Int64(fraction))
    }
}

extension Timestamp: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Timestamp(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "“\(text)” is not an RFC 3339 time")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
