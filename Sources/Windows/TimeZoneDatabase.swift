// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
internal import Model

/// The machine's folder of time zone data, from which zones are read by their IANA name.
///
/// Foundation's own time zones are not used: in a program linked statically they need data that nothing links in, and
/// then every named zone is silently unknown.
package struct TimeZoneDatabase: Hashable, Sendable {
    package var directory: String

    /// Reads from `directory`, by default where Linux systems keep the data.
    package init(directory: String = "/usr/share/zoneinfo") {
        self.directory = directory
    }

    /// Reads from the folder the environment variable `TZDIR` names, or else from the system's.
    package init(environment: [String: String]) {
        let named = environment["TZDIR"] ?? ""
        self = named.isEmpty ? TimeZoneDatabase() : TimeZoneDatabase(directory: named)
    }

    /// The largest zone has about 4 kB.
    private static let maxFileBytes = 1 << 20

    /// Reads a zone. Throws `unknownZone` with the nearest names, `zoneDataMissing`, or `zoneDataMalformed`.
    package func rules(for name: String) throws(WindowError) -> TimeZoneRules {
        guard TimeZoneDatabase.isWellFormed(name) else { throw unknown(name) }
        if name == "UTC" || name == "Etc/UTC" { return .utc }
        let path = directory + "/" + name
        var isDirectory = false
        guard FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory), isDirectory else {
            throw WindowError(
                .zoneDataMissing, "Time zone \(name) can't be looked up: there is no folder \(directory)",
                hint: "install the time zone data (on Debian: apt-get install tzdata), or name its folder in TZDIR")
        }
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory else {
            throw unknown(name)
        }
        guard let bytes = contents(of: path) else {
            throw WindowError(
                .zoneDataMalformed, "The data of time zone \(name) can't be read from \(path)",
                hint: "check the file's permissions")
        }
        // The folder also holds tables and lists, which are no zones.
        guard bytes.starts(with: "TZif".utf8) else { throw unknown(name) }
        do {
            return try TimeZoneRules(name: name, tzif: bytes)
        } catch {
            guard name.hasPrefix("right/") else { throw error }
            throw WindowError(
                .unknownZone, "\(name) counts leap seconds, which no deployment window is written in",
                hint: "write \(name.dropFirst(6))")
        }
    }

    /// The names the data lists, sorted; empty where the machine has no list.
    package func names() -> [String] {
        var names: Set<String> = ["UTC"]
        for line in lines(of: "tzdata.zi") {
            let fields = line.split(separator: " ")
            if fields.count > 1, fields[0] == "Z" { names.insert(String(fields[1])) }
            if fields.count > 2, fields[0] == "L" { names.insert(String(fields[2])) }
        }
        for table in ["zone1970.tab", "zone.tab"] {
            for line in lines(of: table) where !line.hasPrefix("#") {
                let fields = line.split(separator: "\t")
                if fields.count > 2 { names.insert(String(fields[2])) }
            }
        }
        return names.sorted()
    }

    private func contents(of path: String) -> [UInt8]? {
        // Every reason for not reading it ends the same way for the caller, who names the file.
        guard let data = try? Data(contentsOf: URL(filePath: path)), data.count <= TimeZoneDatabase.maxFileBytes else {
            return nil
        }
        return Array(data)
    }

    private func lines(of file: String) -> [Substring] {
        let bytes = contents(of: directory + "/" + file) ?? []
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    private func unknown(_ name: String) -> WindowError {
        let shown = name.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : String($0) }.joined()
        let message = "There is no time zone “\(shown.prefix(80))”"
        if let zone = TimeZoneDatabase.meant[name.uppercased()] {
            return WindowError(.unknownZone, message, hint: "an abbreviation is no zone; did you mean \(zone)?")
        }
        let near = Nearest.names(to: name, among: names())
        return WindowError(
            .unknownZone, message,
            hint: near.isEmpty
                ? "write an IANA name such as America/Los_Angeles or Europe/London"
                : "did you mean \(near.joined(separator: " or "))?")
    }

    /// A relative path of plain parts: never out of the folder.
    private static func isWellFormed(_ name: String) -> Bool {
        guard (1...64).contains(name.utf8.count) else { return false }
        return name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            !part.isEmpty && part != "." && part != ".."
                && part.utf8.allSatisfy { byte in
                    (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || (byte >= 0x30 && byte <= 0x39)
                        || "_+-".utf8.contains(byte)
                }
        }
    }

    /// What people write who mean a place's time. Abbreviations are ambiguous and miss half of the year.
    private static let meant = [
        "PT": "America/Los_Angeles", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles",
        "MDT": "America/Denver", "CDT": "America/Chicago", "ET": "America/New_York", "EDT": "America/New_York",
        "BST": "Europe/London", "CEST": "Europe/Berlin", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo",
        "AEST": "Australia/Sydney", "AEDT": "Australia/Sydney", "Z": "UTC",
    ]
}
