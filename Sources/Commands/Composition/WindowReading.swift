// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model
internal import PipelineFiles
internal import Windows

extension LiveWindow {
    /// Reads the window of a pipeline with everything that is wrong with it, and what is probably not meant; the window
    /// is nil where there is an error, or none in the file.
    static func read(
        _ pipeline: Pipeline, environment: [String: String], now: Timestamp
    ) -> (window: LiveWindow?, diagnostics: [Diagnostic]) {
        guard let description = pipeline.window else { return (nil, []) }
        var reading = WindowReading(
            folder: folder(of: pipeline.path), database: TimeZoneDatabase(environment: environment),
            now: max(now, DeploymentWindow.earliestCredibleTime))
        guard let (window, rules) = reading.window(description) else { return (nil, reading.sorted) }
        return (
            LiveWindow(
                window: window, rules: rules,
                policy: description.maintenance.map { MaintenancePolicy(notice: $0.notice, longest: $0.longest) },
                mustFinish: description.mustFinish, pipeline: pipeline),
            reading.sorted
        )
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// One pass over the words of a `window` section, for what its keys alone can't tell.
private struct WindowReading {
    let folder: String
    let database: TimeZoneDatabase
    let now: Timestamp
    var diagnostics: [Diagnostic] = []

    var sorted: [Diagnostic] {
        diagnostics.sorted { ($0.path, $0.line, $0.column) < ($1.path, $1.line, $1.column) }
    }

    mutating func window(_ description: Pipeline.Window) -> (DeploymentWindow, TimeZoneRules)? {
        let name = description.timeZone
        let database = database
        let rules = attempt(name.location) { () throws(WindowError) in try database.rules(for: name.value) }
        var open: [OpenRange] = []
        for range in description.open {
            let read = attempt(range.location) { () throws(WindowError) in try OpenRange(parsing: range.value) }
            if let read { open.append(read) }
        }
        var periods: [ClosedPeriod] = []
        for period in description.closed {
            if let read = closed(period, .freeze, rules) { periods.append(read) }
        }
        for period in description.highTraffic {
            if let read = closed(period, .highTraffic(name: period.name), rules) { periods.append(read) }
        }
        var calendars: [HolidayCalendar] = []
        var days: [Holiday] = []
        for entry in description.holidays { holidays(entry, &calendars, &days) }
        guard let rules, diagnostics.allSatisfy({ $0.severity != .error }) else { return nil }
        let (closed, allDays, allCalendars, now) = (periods, days, calendars, now)
        // Without open ranges it is open whenever nothing closes it.
        let always = [OpenRange(weekdays: Set(Weekday.allCases), fromMinute: 0, toMinute: 1440)]
        let ranges = open.isEmpty ? always : open
        let window = attempt(name.location) { () throws(WindowError) in
            let window = try DeploymentWindow(
                timeZone: name.value, open: ranges, closed: closed, calendars: allCalendars, holidays: allDays)
            try window.validate(at: now, rules: rules)
            return window
        }
        guard let window else { return nil }
        for pair in window.overlappingRanges {
            warn(
                description.open[pair.second].location,
                "“\(open[pair.second])” overlaps “\(open[pair.first])”",
                "they are one opening, which is named after the one that began first")
        }
        return (window, rules)
    }

    private mutating func closed(
        _ period: Pipeline.Window.Closed, _ kind: ClosedPeriod.Kind, _ windowRules: TimeZoneRules?
    ) -> ClosedPeriod? {
        var zone: TimeZoneRules?
        if let name = period.timeZone {
            let database = database
            zone = attempt(name.location) { () throws(WindowError) in try database.rules(for: name.value) }
        }
        // Without its zone the period is still read, for what else is wrong in it.
        let own = zone
        let read = attempt(period.location) { () throws(WindowError) in
            let read =
                switch period.times {
                case .dates(let from, let to):
                    try ClosedPeriod(kind: kind, from: from.value, to: to.value, reason: period.reason, zone: own)
                case .every(let days):
                    try ClosedPeriod(kind: kind, every: days.value, reason: period.reason, zone: own)
                }
            if let windowRules { try read.validate(in: windowRules) }
            return read
        }
        if period.timeZone != nil, own == nil { return nil }
        if let read, let rules = own ?? windowRules, let end = read.ends(in: rules), end <= now {
            warn(period.location, "this period is over since \(rules.described(end))", "remove it")
        }
        return read
    }

    private mutating func holidays(
        _ entry: Located<String>, _ calendars: inout [HolidayCalendar], _ days: inout [Holiday]
    ) {
        let first = entry.value.split(separator: " ", maxSplits: 1).first ?? ""
        if let calendar = HolidayCalendar(rawValue: entry.value) {
            calendars.append(calendar)
        } else if CivilDate(first) == nil, entry.value.contains(where: { $0 == "/" || $0 == "." }) {
            days += list(entry)
        } else {
            let day = attempt(entry.location) { () throws(WindowError) in try Holiday(parsing: entry.value) }
            if let day { days.append(day) }
        }
    }

    private mutating func list(_ entry: Located<String>) -> [Holiday] {
        let path = entry.value.hasPrefix("/") ? entry.value : (folder == "." ? "" : folder + "/") + entry.value
        func fail(_ message: String, _ suggestion: String) -> Diagnostic {
            Diagnostic(.error, at: entry.location, message, suggestion: suggestion)
        }
        guard isPlainFile(path), let data = FileManager.default.contents(atPath: path) else {
            diagnostics.append(
                fail(
                    "the list of holidays \(path) can't be read",
                    "name a file of dates relative to this file, or us-federal"))
            return []
        }
        guard data.count <= HolidayList.maxBytes, let text = String(validating: data, as: UTF8.self) else {
            diagnostics.append(
                fail("the list of holidays \(path) is no UTF-8 text of at most 256 KiB", "write a date a line"))
            return []
        }
        do throws(HolidayList.Malformed) {
            let list = try HolidayList(parsing: text)
            for warning in list.warnings { report(.warning, warning, path) }
            let today = CivilDate(CivilTime(secondsAsUTC: now.secondsSinceEpoch))
            if list.lastDay.map({ $0 < today }) ?? true {
                warn(
                    entry.location,
                    list.lastDay.map { "the list of holidays \(path) ends with \($0)" }
                        ?? "the list of holidays \(path) holds none",
                    "no day from now on is closed by it: add the coming ones")
            }
            return list.holidays
        } catch {
            for problem in error.problems { report(.error, problem, path) }
            return []
        }
    }

    /// A pipe or a device is never opened: it would be waited for.
    private func isPlainFile(_ path: String) -> Bool {
        let real = URL(filePath: path).resolvingSymlinksInPath().path
        // What can't be looked at is no file that could be read; the caller says so.
        let attributes = try? FileManager.default.attributesOfItem(atPath: real)
        return attributes?[.type] as? FileAttributeType == .typeRegular
    }

    private mutating func report(_ severity: Diagnostic.Severity, _ problem: HolidayList.Problem, _ path: String) {
        let place = SourceLocation(path: path, line: problem.line, column: problem.column)
        diagnostics.append(Diagnostic(severity, at: place, problem.message, suggestion: problem.hint))
    }

    private mutating func warn(_ location: SourceLocation, _ message: String, _ suggestion: String) {
        diagnostics.append(Diagnostic(.warning, at: location, message, suggestion: suggestion))
    }

    private mutating func attempt<Value>(
        _ location: SourceLocation, _ body: () throws(WindowError) -> Value
    ) -> Value? {
        do throws(WindowError) {
            return try body()
        } catch {
            diagnostics.append(Diagnostic(.error, at: location, error.message, suggestion: error.hint))
            return nil
        }
    }
}
