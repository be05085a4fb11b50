// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What is wrong with a window, a zone or the data they are read from, and what to do about it.
package struct WindowError: Error, Hashable, Sendable {
    package enum Code: String, Codable, Sendable, CaseIterable {
        /// No zone has this name, or the name is none.
        case unknownZone
        /// The machine has no time zone data.
        case zoneDataMissing
        /// A zone's file can't be read, or breaks RFC 9636.
        case zoneDataMalformed
        /// The text of an open range is not one.
        case malformedRange
        /// A closed period is not written as one, or ends before it begins.
        case malformedClosure
        /// No holiday calendar has this name, and it is no date.
        case malformedHoliday
        /// The window can never open.
        case neverOpens
        /// A text is no time, or one that the zone's clocks don't show exactly once.
        case malformedTime
        /// A maintenance window that may not be: announced too late, too long, or over.
        case maintenanceRefused
    }

    package var code: Code
    /// What happened, in one sentence without a full stop at its end.
    package var message: String
    /// What a person can do about it; empty where nothing sensible can be said.
    package var hint: String
    /// Where in the text it is, in characters from its start (0 is the first); nil where it is in no text.
    package var offset: Int?

    package init(_ code: Code, _ message: String, hint: String = "", offset: Int? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
    }
}

extension WindowError: CustomStringConvertible {
    package var description: String {
        message + (offset.map { " (at character \($0 + 1))" } ?? "") + (hint.isEmpty ? "" : "\n  " + hint)
    }
}
