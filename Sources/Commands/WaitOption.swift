// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import PipelineFiles

/// How long a command waits for its turn where another run works on the app.
struct WaitOption: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Wait so long for other runs of the app to end, in the order of asking, also between machines that share \
            nothing but the platform: 15m, 1h30m.
            """,
            valueName: "duration"))
    var wait: String?

    /// Longer than this nobody meant.
    static let longest = Duration.seconds(7 * 24 * 3600)

    func validate() throws {
        guard let wait else { return }
        guard let duration = DurationText.parse(wait), duration > .zero, duration <= WaitOption.longest else {
            throw ValidationError("“\(wait)” is no time to wait: write 90s, 15m or 1h30m, a week at most.")
        }
    }

    var duration: Duration? { wait.flatMap(DurationText.parse) }
}
