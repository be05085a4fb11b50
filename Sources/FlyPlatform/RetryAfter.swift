// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The `retry-after` field. Source: RFC 9110, sections 5.6.7 and 10.2.3.
package enum RetryAfter {
    /// A longer wait is not believed.
    package static let maxDelay: Duration = .seconds(86_400)

    /// The delay a field's value asks for, from seconds or from a date in any of HTTP's three forms; nil where it is
    /// neither. A date that has passed means no delay.
    package static func delay(_ text: String, now: Timestamp) -> Duration? {
        let trimmed = String(text.drop { $0 == " " })
        if let seconds = Double(trimmed), seconds.isFinite, seconds >= 0 {
            return min(maxDelay, .seconds(min(seconds, maxDelay.inSeconds)))
        }
        guard let instant = date(trimmed) else { return nil }
        return min(maxDelay, max(.zero, instant - now))
    }

    private static let months = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]

    /// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`.
    private static func date(_ text: String) -> Timestamp? {
        var month: Int?
        var numbers: [Int] = []
        var time: [Int] = []
        for word in text.lowercased().split(whereSeparator: { " ,-".contains($0) }).prefix(8) {
            if word.contains(":") {
                time = word.split(separator: ":").compactMap { Int($0) }
            } else if let number = Int(word) {
                numbers.append(number)
            } else if let index = months.firstIndex(of: String(word)) {
                month = index + 1
            }
        }
        guard let month, numbers.count == 2, time.count == 3, (1...31).contains(numbers[0]),
            (0...9999).contains(numbers[1]), (0...23).contains(time[0]), (0...59).contains(time[1]),
            (0...60).contains(time[2])
        else { return nil }
        let year = numbers[1] >= 100 ? numbers[1] : numbers[1] + (numbers[1] < 70 ? 2000 : 1900)
        let civil = CivilTime(
            year: year, month: month, day: numbers[0], hour: time[0], minute: time[1], second: time[2])
        return Timestamp(secondsSinceEpoch: civil.secondsAsUTC)
    }
}
