// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Stages

/// What goes past a gate, or satisfies one: the same for whatever takes something forward.
struct GateOptions: ParsableArguments {
    @Flag(name: .long, help: "An emergency: the deployment window does not hold. Needs --approved-by.")
    var emergency = false

    @Option(name: .customLong("approved-by"), help: ArgumentHelp("Who approved the overrides.", valueName: "who"))
    var approvedBy: String?

    @Option(
        name: .long, parsing: .singleValue,
        help: ArgumentHelp("Skip one gate by its name; needs --approved-by. May be repeated.", valueName: "gate"))
    var skip: [String] = []

    @Option(
        name: .long, parsing: .singleValue,
        help: ArgumentHelp("An approval, as airboss approve --to wrote it. May be repeated.", valueName: "file"))
    var approval: [String] = []

    func validate() throws {
        try Checks.overrides(emergency: emergency, approvedBy: approvedBy, skip: skip)
    }

    var overrides: RunRequest.Overrides {
        .init(isEmergency: emergency, approvedBy: approvedBy ?? "", skippedGates: skip)
    }
}
