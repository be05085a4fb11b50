// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import PipelineFiles
internal import Ports
internal import Windows

/// A pipeline's deployment window with the rules of its zone.
struct LiveWindow: WindowPort {
    let window: DeploymentWindow
    let rules: TimeZoneRules

    /// Reads the window and its zone; throws an ``AirbossError`` (78) with the place in the file.
    init(_ description: Pipeline.Window, environment: [String: String], now: Timestamp) throws(AirbossError) {
        let database = TimeZoneDatabase(environment: environment)
        rules = try LiveWindow.locating(description.timeZone.location) { () throws(WindowError) in
            try database.rules(for: description.timeZone.value)
        }
        for range in description.open {
            _ = try LiveWindow.locating(range.location) { () throws(WindowError) in
                try OpenRange(parsing: range.value)
            }
        }
        for holiday in description.holidays where HolidayCalendar(rawValue: holiday.value) == nil {
            _ = try LiveWindow.locating(holiday.location) { () throws(WindowError) in
                try Holiday(parsing: holiday.value)
            }
        }
        var closed: [ClosedPeriod] = []
        for period in description.closed {
            closed.append(
                try LiveWindow.locating(period.from.location) { () throws(WindowError) in
                    try ClosedPeriod(from: period.from.value, to: period.to.value, reason: period.reason)
                })
        }
        let periods = closed
        let rules = self.rules
        window = try LiveWindow.locating(description.timeZone.location) { () throws(WindowError) in
            let window = try DeploymentWindow(
                timeZone: description.timeZone.value,
                // Without open ranges it is open whenever nothing closes it.
                open: description.open.isEmpty ? ["daily 00:00-24:00"] : description.open.map(\.value),
                closed: periods,
                holidays: description.holidays.map(\.value))
            try window.validate(at: now, rules: rules)
            return window
        }
    }

    func answer(at now: Timestamp) async -> Answer {
        let decision = window.decide(at: now, rules: rules)
        return .window(
            decision: WindowAnswer(
                isOpen: decision.isOpen, rule: decision.rule, nextOpen: decision.nextOpen, closes: decision.closes))
    }

    private static func locating<Value>(
        _ location: SourceLocation, _ body: () throws(WindowError) -> Value
    ) throws(AirbossError) -> Value {
        do throws(WindowError) {
            return try body()
        } catch {
            throw AirbossError(
                .configuration, error.message, hint: error.hint, location: location.description)
        }
    }
}

/// A pipeline without a window: always open.
struct NoWindow: WindowPort {
    func answer(at now: Timestamp) async -> Answer {
        .window(decision: WindowAnswer(isOpen: true, rule: "the pipeline has no window"))
    }
}
