// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Orchestration
internal import Stages

/// For what is no run: only warnings are shown, on standard error.
struct SilentRunView: RunView {
    func begin(_ request: RunRequest) {}
    func show(_ progress: RunProgress) {}
    func finish(_ record: RunFinished) {}

    func warn(_ text: String) {
        StandardStreams.error("airboss: \(TerminalText.line(text))\n")
    }
}
