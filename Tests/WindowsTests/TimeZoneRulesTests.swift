// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

@testable import Windows

/// The output of a program of the system.
func output(of path: String, _ arguments: [String], environment: [String: String] = [:]) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: path)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }.merging(["LC_ALL": "C"]) {
        $1
    }
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return String(decoding: data, as: UTF8.self)
}

func zone(_ name: String) throws -> TimeZoneRules {
    try TimeZoneDatabase().rules(for: name)
}

func instant(_ text: String) throws -> Timestamp {
    try #require(Timestamp(text))
}

func civil(_ text: String) throws -> CivilTime {
    CivilTime(secondsAsUTC: try instant(text + ":00Z").secondsSinceEpoch)
}

@Suite struct `Time zone rules` {
    static let zones = [
        "America/Los_Angeles", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Havana",
        "Europe/London", "Europe/Dublin", "Europe/Berlin", "Africa/Casablanca", "Africa/Cairo", "Asia/Kolkata",
        "Asia/Gaza", "Asia/Tehran", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Antarctica/Troll",
        "America/Nuuk", "Asia/Kathmandu", "Etc/GMT+12", "EST5EDT", "Africa/Monrovia", "Pacific/Kiritimati",
    ]

    @Test(arguments: [
        ("America/Los_Angeles", "2026-03-08T09:59:59Z", "2026-03-08T01:59", -28800, "PST"),
        ("America/Los_Angeles", "2026-03-08T10:00:00Z", "2026-03-08T03:00", -25200, "PDT"),
        ("America/Los_Angeles", "2026-11-01T08:59:59Z", "2026-11-01T01:59", -25200, "PDT"),
        ("America/Los_Angeles", "2026-11-01T09:00:00Z", "2026-11-01T01:00", -28800, "PST"),
        ("America/Los_Angeles", "2061-07-01T00:00:00Z", "2061-06-30T17:00", -25200, "PDT"),
        ("Europe/London", "2038-03-28T00:59:59Z", "2038-03-28T00:59", 0, "GMT"),
        ("Europe/London", "2038-03-28T01:00:00Z", "2038-03-28T02:00", 3600, "BST"),
        ("Australia/Lord_Howe", "2026-04-04T14:59:59Z", "2026-04-05T01:59", 39600, "+11"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z", "2026-04-05T01:30", 37800, "+1030"),
        ("Africa/Casablanca", "2026-02-15T02:00:00Z", "2026-02-15T02:00", 0, "+00"),
        ("Africa/Casablanca", "2026-03-22T02:00:00Z", "2026-03-22T03:00", 3600, "+01"),
        ("Asia/Kolkata", "2040-07-01T00:00:00Z", "2040-07-01T05:30", 19800, "IST"),
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T23:59", -36000, "-10"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T00:00", 50400, "+14"),
    ])
    func `known changes`(name: String, at: String, local: String, offset: Int, abbreviation: String) throws {
        let rules = try zone(name)
        var time = rules.localTime(at: try instant(at))
        time.second = 0
        #expect(try time == civil(local))
        #expect(try rules.offset(at: instant(at)).offset == offset)
        #expect(try rules.offset(at: instant(at)).abbreviation == abbreviation)
    }

    @Test func `gaps and overlaps`() throws {
        let losAngeles = try zone("America/Los_Angeles")
        #expect(
            try losAngeles.instants(of: civil("2026-03-08T02:30")) == .gap(end: instant("2026-03-08T10:00:00Z")))
        #expect(try losAngeles.instants(of: civil("2026-03-08T03:00")) == .one(instant("2026-03-08T10:00:00Z")))
        #expect(
            try losAngeles.instants(of: civil("2026-11-01T01:30"))
                == .overlap(first: instant("2026-11-01T08:30:00Z"), last: instant("2026-11-01T09:30:00Z")))
        #expect(try losAngeles.instants(of: civil("2026-11-01T02:00")) == .one(instant("2026-11-01T10:00:00Z")))
        #expect(
            try losAngeles.instants(of: civil("2060-03-14T02:30")) == .gap(end: instant("2060-03-14T10:00:00Z")))
        let lordHowe = try zone("Australia/Lord_Howe")
        #expect(
            try lordHowe.instants(of: civil("2026-04-05T01:45"))
                == .overlap(first: instant("2026-04-04T14:45:00Z"), last: instant("2026-04-04T15:15:00Z")))
        #expect(try lordHowe.instants(of: civil("2026-10-04T02:15")) == .gap(end: instant("2026-10-03T15:30:00Z")))
        let apia = try zone("Pacific/Apia")
        #expect(try apia.instants(of: civil("2011-12-30T12:00")) == .gap(end: instant("2011-12-30T10:00:00Z")))
    }

    /// Every change between 1900 and 2100 that the system's own program knows, a second before and at it.
    @Test func `agrees with zdump`() throws {
        let text = try output(of: "/usr/bin/zdump", ["-V", "-c", "1900,2100"] + Self.zones)
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        var rules: [String: TimeZoneRules] = [:]
        for name in Self.zones { rules[name] = try zone(name) }
        var compared = 0
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard fields.count == 16, let month = months.firstIndex(of: fields[2]) else { continue }
            let clock = fields[4].split(separator: ":").compactMap { Int($0) }
            let utc = CivilTime(
                year: try #require(Int(fields[5])), month: month + 1, day: try #require(Int(fields[3])),
                hour: clock[0], minute: clock[1], second: clock[2])
            let type = try #require(rules[fields[0]]).offset(at: Timestamp(secondsSinceEpoch: utc.secondsAsUTC))
            let shown = "\(type.abbreviation) isdst=\(type.isDaylightSaving ? 1 : 0) gmtoff=\(type.offset)"
            #expect(shown == fields[13...].joined(separator: " "), "\(line)")
            compared += 1
        }
        #expect(compared > 4000)
    }

    @Test(arguments: zones)
    func `agrees with date, and local times lead back`(name: String) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        let rules = try zone(name)
        let seconds = (0..<400).map { _ in Int64.random(in: -2_000_000_000...7_000_000_000, using: &generator) }
        let file = FileManager.default.temporaryDirectory.appending(path: "airboss-date-\(UUID().uuidString)")
        try seconds.map { "@\($0)\n" }.joined().write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }  // best effort: the system clears this folder
        let lines = try output(of: "/usr/bin/date", ["-f", file.path, "+%Y-%m-%dT%H:%M:%S"], environment: ["TZ": name])
            .split(separator: "\n")
        try #require(lines.count == seconds.count)
        for (second, line) in zip(seconds, lines) {
            let time = Timestamp(secondsSinceEpoch: second)
            let local = rules.localTime(at: time)
            #expect(
                CivilTime(secondsAsUTC: try instant(line + "Z").secondsSinceEpoch) == local, "\(second), seed \(seed)")
            switch rules.instants(of: local) {
            case .gap: Issue.record("\(second) is shown, but said to be in a gap; seed \(seed)")
            case .one(let found): #expect(found == time, "seed \(seed)")
            case .overlap(let first, let last): #expect(first <= time && time <= last, "seed \(seed)")
            }
        }
    }

    @Test func `every zone of the system is read`() throws {
        let database = TimeZoneDatabase()
        let names = database.names()
        #expect(names.count > 400)
        for name in names {
            let rules = try database.rules(for: name)
            let copy = try JSONDecoder().decode(TimeZoneRules.self, from: JSONEncoder().encode(rules))
            #expect(copy == rules)
        }
    }

    @Test(arguments: [
        ("America/Los_Angles", "America/Los_Angeles"), ("america/los_angeles", "America/Los_Angeles"),
        ("Europe/Lodnon", "Europe/London"), ("Los Angeles", "America/Los_Angeles"), ("PST", "America/Los_Angeles"),
        ("", "IANA"), ("..", "IANA"), ("../zoneinfo/UTC", "Etc/UTC"), ("/usr/share/zoneinfo/UTC", "Etc/UTC"),
        ("Europe/../UTC", "Etc/UTC"), ("Europe", "IANA"), ("tzdata.zi", "IANA"), ("zone.tab", "IANA"),
        ("Europe/", "IANA"), ("a\u{1B}[31m", "IANA"), ("leapseconds", "IANA"), ("Nowhere/Atall", "IANA"),
        (String(repeating: "x", count: 5000), "IANA"), ("right/Europe/London", "Europe/London"),
    ])
    func `unknown zones get suggestions`(name: String, hint: String) throws {
        let error = try #require(throws: WindowError.self) { try zone(name) }
        #expect(error.code == .unknownZone)
        #expect(error.hint.contains(hint), "\(error)")
        #expect(!error.message.contains("\u{1B}"))
    }

    @Test func `without the system's data only UTC is known`() throws {
        let database = TimeZoneDatabase(environment: ["TZDIR": "/nonexistent/zoneinfo"])
        #expect(try database.rules(for: "UTC") == .utc)
        let error = try #require(throws: WindowError.self) { try database.rules(for: "Europe/London") }
        #expect(error.code == .zoneDataMissing)
        #expect(error.hint.contains("tzdata"))
    }

    /// Damage of every kind ends in an error or in rules, never in a trap.
    @Test func `damaged files`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SplitMix(state: seed)
        let bytes = try Array(Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/Europe/London")))
        for length in stride(from: 0, to: bytes.count, by: 7) {
            let error = try #require(throws: WindowError.self, "seed \(seed)") {
                try TimeZoneRules(name: "X", tzif: Array(bytes.prefix(length)))
            }
            #expect(error.code == .zoneDataMalformed)
        }
        for _ in 0..<2000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                damaged[Int.random(in: damaged.indices, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            do {
                let rules = try TimeZoneRules(name: "X", tzif: damaged)
                _ = rules.localTime(at: Timestamp(secondsSinceEpoch: 1_800_000_000))
            } catch {
                #expect(error.code == .zoneDataMalformed)
            }
        }
    }

    @Test(arguments: [
        // The first one has daylight saving time all year.
        ("EST3EDT4,0/0,J365/23", -14400, true), ("EST5EDT,M3.2.0,M11.1.0", -14400, false),
        ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", -7200, false), ("CST6", -21600, false),
    ])
    func `last rules`(footer: String, july: Int, isDaylightSavingAtNewYear: Bool) throws {
        let year = 2026
        let rule = try #require(POSIXZone(parsing: footer))
        let moment = CivilTime(year: year, month: 7, day: 1).secondsAsUTC
        #expect(rule.type(at: moment).offset == july)
        let newYear = CivilTime(year: year, month: 1, day: 1, hour: 12).secondsAsUTC
        #expect(rule.type(at: newYear).isDaylightSaving == isDaylightSavingAtNewYear)
    }

    @Test(arguments: ["E5", "EST", "EST5EDT", "EST5EDT,M3.2.0", "EST5EDT,M13.2.0,M11.1.0", "EST25", "EST5 ", "<EST5"])
    func `what is no last rule`(footer: String) {
        #expect(POSIXZone(parsing: footer) == nil)
    }
}

/// A generator whose runs repeat from their seed. Source: S. Vigna, SplitMix64.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
