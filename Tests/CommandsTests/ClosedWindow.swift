// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation

/// A deployment window that is closed whenever a test runs, and opens again.
enum ClosedWindow {
    /// The pipeline's lines.
    static func yaml(reason: String = "Holidays") -> String {
        func day(_ offset: Int) -> String {
            Date(timeIntervalSinceNow: Double(offset) * 86_400).formatted(.iso8601.year().month().day())
        }
        return "window: { time_zone: UTC, open: [\"daily 00:00-24:00\"], closed: "
            + "[{ from: \(day(-2)), to: \(day(2)), reason: \"\(reason)\" }] }\n"
    }
}
