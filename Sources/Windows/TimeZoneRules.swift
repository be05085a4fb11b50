// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a zone's clocks show for a time: their distance from UTC and its name.
package struct LocalTimeType: Hashable, Codable, Sendable {
    /// Seconds east of UTC.
    package var offset: Int
    package var isDaylightSaving: Bool
    /// `PST`, or `+0530` where the zone has no letters for it.
    package var abbreviation: String

    package init(offset: Int, isDaylightSaving: Bool, abbreviation: String) {
        self.offset = offset
        self.isDaylightSaving = isDaylightSaving
        self.abbreviation = abbreviation
    }
}

/// The instants at which a zone's wall clock shows one civil time.
package enum LocalInstants: Hashable, Sendable {
    /// The clock is put forward over this time; `end` is the first instant after the gap.
    case gap(end: Timestamp)
    case one(Timestamp)
    /// The clock is put back and shows the time again.
    case overlap(first: Timestamp, last: Timestamp)
}

/// One zone's history of offsets, as a TZif file holds it. Source: RFC 9636.
package struct TimeZoneRules: Hashable, Sendable {
    /// The zone's IANA name.
    package let name: String
    let types: [LocalTimeType]
    /// Seconds since the epoch, ascending, with the index of the type that holds from there on.
    let transitions: [Int64]
    let transitionTypes: [Int]
    /// Holds after the last transition; empty where the last type holds forever.
    let footer: String
    private let rule: POSIXZone?

    /// Throws `zoneDataMalformed` where the parts don't fit together.
    init(
        name: String, types: [LocalTimeType], transitions: [Int64], transitionTypes: [Int], footer: String
    ) throws(WindowError) {
        func malformed(_ what: String) -> WindowError {
            WindowError(.zoneDataMalformed, "The data of time zone \(name) is damaged: \(what)", hint: reinstall)
        }
        guard !types.isEmpty else { throw malformed("it has no local time") }
        guard transitions.count == transitionTypes.count, transitionTypes.allSatisfy(types.indices.contains) else {
            throw malformed("a transition leads to a local time that is not there")
        }
        guard zip(transitions, transitions.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw malformed("its transitions are out of order")
        }
        guard types.allSatisfy({ abs($0.offset) <= TimeZoneRules.largestOffset }) else {
            throw malformed("it is more than a day away from UTC")
        }
        var rule: POSIXZone?
        if !footer.isEmpty {
            rule = POSIXZone(parsing: footer)
            if rule == nil { throw malformed("its last rule, “\(footer)”, can't be read") }
        }
        self.name = name
        self.types = types
        self.transitions = transitions
        self.transitionTypes = transitionTypes
        self.footer = footer
        self.rule = rule
    }

    /// Coordinated Universal Time, which needs no data.
    package static let utc: TimeZoneRules = {
        let type = LocalTimeType(offset: 0, isDaylightSaving: false, abbreviation: "UTC")
        do {
            return try TimeZoneRules(name: "UTC", types: [type], transitions: [], transitionTypes: [], footer: "UTC0")
        } catch {
            preconditionFailure("UTC is a zone: \(error)")
        }
    }()

    /// Seconds; RFC 9636 section 3.2 recommends offsets within -24:59:59 and 25:59:59.
    private static let largestOffset = 26 * 3600 - 1

    /// What the zone's clocks show at an instant: offset, whether it is daylight saving, abbreviation.
    package func offset(at instant: Timestamp) -> LocalTimeType {
        type(at: instant.secondsSinceEpoch)
    }

    /// The wall clock's reading at an instant, rounded down to whole seconds.
    package func localTime(at instant: Timestamp) -> CivilTime {
        let seconds = instant.secondsSinceEpoch
        return CivilTime(secondsAsUTC: seconds + Int64(type(at: seconds).offset))
    }

    /// When the wall clock shows a civil time: never (a gap), once, or more than once (an overlap).
    package func instants(of time: CivilTime) -> LocalInstants {
        let wall = time.secondsAsUTC
        let low = wall - Int64(TimeZoneRules.largestOffset)
        let high = wall + Int64(TimeZoneRules.largestOffset)
        let changes = changes(after: low, through: high)
        var offset = Int64(type(at: low).offset)
        if changes.isEmpty { return .one(Timestamp(secondsSinceEpoch: wall - offset)) }
        var found: [Int64] = []
        var start = Int64.min
        var gapEnd = high
        for change in changes + [(at: Int64.max, type: nil)] {
            let candidate = wall - offset
            if candidate >= start, candidate < change.at { found.append(candidate) }
            guard let type = change.type else { break }
            if change.at + offset <= wall, wall < change.at + Int64(type.offset) { gapEnd = min(gapEnd, change.at) }
            start = change.at
            offset = Int64(type.offset)
        }
        guard let first = found.first, let last = found.last else {
            return .gap(end: Timestamp(secondsSinceEpoch: gapEnd))
        }
        let firstInstant = Timestamp(secondsSinceEpoch: first)
        return found.count == 1
            ? .one(firstInstant) : .overlap(first: firstInstant, last: Timestamp(secondsSinceEpoch: last))
    }

    /// The first instant at which the wall clock shows `time` or later: the first of an overlap, the end of a gap.
    package func firstInstant(of time: CivilTime) -> Timestamp {
        switch instants(of: time) {
        case .gap(let end): end
        case .one(let instant): instant
        case .overlap(let first, _): first
        }
    }

    /// The first instant after which the wall clock never shows less than `time`: the last of an overlap, the end of a
    /// gap.
    package func lastInstant(of time: CivilTime) -> Timestamp {
        switch instants(of: time) {
        case .gap(let end): end
        case .one(let instant): instant
        case .overlap(_, let last): last
        }
    }

    /// What the clocks show at an instant, and until when at least they go on so.
    func period(at instant: Timestamp) -> (type: LocalTimeType, ends: Timestamp) {
        let seconds = instant.secondsSinceEpoch
        // Zones change some times a year at most; after a while without a change one simply asks again.
        let horizon = seconds + 40 * 86_400
        let end = changes(after: seconds, through: horizon).first?.at ?? horizon
        return (type(at: seconds), Timestamp(secondsSinceEpoch: end))
    }

    private func type(at seconds: Int64) -> LocalTimeType {
        guard let last = transitions.last, seconds < last else {
            if let rule { return rule.type(at: seconds) }
            return types[transitionTypes.last ?? 0]
        }
        let index = count(upTo: seconds)
        return types[index == 0 ? 0 : transitionTypes[index - 1]]
    }

    /// How many transitions are at or before an instant.
    private func count(upTo seconds: Int64) -> Int {
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= seconds { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The changes in `(low, high]`, in order; those of the footer only after the file's last transition.
    private func changes(after low: Int64, through high: Int64) -> [(at: Int64, type: LocalTimeType?)] {
        var found: [(at: Int64, type: LocalTimeType?)] = []
        for index in count(upTo: low)..<max(count(upTo: low), count(upTo: high)) {
            found.append((transitions[index], types[transitionTypes[index]]))
        }
        let last = transitions.last ?? .min
        guard let rule, rule.daylightSaving != nil, high > last else { return found }
        let years = CivilTime(secondsAsUTC: low).year - 1...CivilTime(secondsAsUTC: high).year + 1
        for year in years {
            for change in rule.transitions(in: year)
            where change.at > max(low, last) && change.at <= high {
                // An end and a start at one instant: `type(at:)` says which of them holds.
                if found.last?.at == change.at { found.removeLast() }
                found.append((change.at, rule.type(at: change.at)))
            }
        }
        return found
    }
}

private let reinstall = "install the system's time zone data again (on Debian: apt-get install --reinstall tzdata)"

extension TimeZoneRules: Codable {
    private enum CodingKeys: String, CodingKey {
        case name, types, transitions, transitionTypes, footer
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            name: container.decode(String.self, forKey: .name),
            types: container.decode([LocalTimeType].self, forKey: .types),
            transitions: container.decode([Int64].self, forKey: .transitions),
            transitionTypes: container.decode([Int].self, forKey: .transitionTypes),
            footer: container.decode(String.self, forKey: .footer))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(types, forKey: .types)
        try container.encode(transitions, forKey: .transitions)
        try container.encode(transitionTypes, forKey: .transitionTypes)
        try container.encode(footer, forKey: .footer)
    }
}

extension TimeZoneRules {
    /// Reads a TZif file's bytes; throws `zoneDataMalformed` where they break the format or count leap seconds.
    /// Source: RFC 9636 section 3.
    package init(name: String, tzif bytes: [UInt8]) throws(WindowError) {
        var reader = TZifReader(bytes: bytes)
        do {
            var header = try reader.header()
            var width = 4
            if header.version > 0 {
                try reader.skip(header.bodySize(timeWidth: 4))
                header = try reader.header()
                width = 8
            }
            guard header.leapSeconds == 0 else { throw TZifReader.Damage(what: "it counts leap seconds") }
            let body = try reader.body(header, timeWidth: width)
            let footer = width == 8 ? try reader.footer() : ""
            self = try TimeZoneRules(
                name: name, types: body.types, transitions: body.transitions,
                transitionTypes: body.transitionTypes, footer: footer)
        } catch let damage as TZifReader.Damage {
            throw WindowError(
                .zoneDataMalformed, "The data of time zone \(name) is damaged: \(damage.what)", hint: reinstall)
        } catch let error as WindowError {
            throw error
        } catch {
            preconditionFailure("the reader throws nothing else: \(error)")
        }
    }
}

private struct TZifReader {
    struct Damage: Error {
        var what: String
    }

    struct Header {
        var version: Int
        var utcFlags: Int
        var standardFlags: Int
        var leapSeconds: Int
        var times: Int
        var types: Int
        var characters: Int

        func bodySize(timeWidth: Int) -> Int {
            times * (timeWidth + 1) + types * 6 + characters + leapSeconds * (timeWidth + 4) + standardFlags + utcFlags
        }
    }

    var bytes: [UInt8]
    var index = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func skip(_ count: Int) throws(Damage) {
        guard count <= bytes.count - index else { throw Damage(what: "it ends too early") }
        index += count
    }

    /// A big-endian signed number of four or eight bytes.
    mutating func integer(_ width: Int) throws(Damage) -> Int64 {
        let start = index
        try skip(width)
        let value = bytes[start..<index].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return width == 8 ? Int64(bitPattern: value) : Int64(Int32(bitPattern: UInt32(truncatingIfNeeded: value)))
    }

    mutating func header() throws(Damage) -> Header {
        let start = index
        try skip(20)
        guard bytes[start..<start + 4].elementsEqual("TZif".utf8) else { throw Damage(what: "it is no TZif file") }
        let version = bytes[start + 4]
        func count() throws(Damage) -> Int {
            let value = try integer(4)
            guard value >= 0 else { throw Damage(what: "a count is out of range") }
            return Int(value)
        }
        let header = try Header(
            version: version == 0 ? 0 : Int(version) - 0x30, utcFlags: count(), standardFlags: count(),
            leapSeconds: count(), times: count(), types: count(), characters: count())
        guard version == 0 || header.version >= 2 else { throw Damage(what: "its version is unknown") }
        return header
    }

    mutating func body(
        _ header: Header, timeWidth: Int
    ) throws(Damage) -> (types: [LocalTimeType], transitions: [Int64], transitionTypes: [Int]) {
        let end = index
        try skip(header.bodySize(timeWidth: timeWidth))
        let after = index
        index = end
        var transitions: [Int64] = []
        for _ in 0..<header.times { transitions.append(try integer(timeWidth)) }
        let transitionTypes = bytes[index..<index + header.times].map(Int.init)
        index += header.times
        let names = Array(bytes[(index + header.types * 6)...].prefix(header.characters))
        var types: [LocalTimeType] = []
        for _ in 0..<header.types {
            let offset = try integer(4)
            let isDaylightSaving = bytes[index] != 0
            let start = Int(bytes[index + 1])
            index += 2
            guard start < names.count, let length = names[start...].firstIndex(of: 0) else {
                throw Damage(what: "an abbreviation is not there")
            }
            types.append(
                LocalTimeType(
                    offset: Int(offset), isDaylightSaving: isDaylightSaving,
                    abbreviation: String(decoding: names[start..<length], as: UTF8.self)))
        }
        index = after
        return (types, transitions, transitionTypes)
    }

    mutating func footer() throws(Damage) -> String {
        guard index < bytes.count, bytes[index] == 0x0A, let end = bytes[(index + 1)...].firstIndex(of: 0x0A) else {
            throw Damage(what: "its last rule is missing")
        }
        return String(decoding: bytes[index + 1..<end], as: UTF8.self)
    }
}
