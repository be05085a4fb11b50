// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Notifications
internal import Orchestration
internal import Stages
internal import Synchronization

/// Plain lines on standard error, for logs and pipes; the summary goes to standard output.
final class PlainRunView: RunView {
    private let startedAt = Mutex<Timestamp?>(nil)

    func begin(_ request: RunRequest) {
        StandardStreams.error(
            "\(request.kind.rawValue) of \(request.pipeline) (\(request.app)), run \(request.run)\n")
    }

    func show(_ progress: RunProgress) {
        let start = startedAt.withLock { start in
            if start == nil { start = progress.at }
            return start ?? progress.at
        }
        let elapsed = TerminalText.duration(progress.at - start)
        for note in progress.notes {
            StandardStreams.error("[\(elapsed)] \(PlainRunView.text(note))\n")
        }
    }

    func warn(_ text: String) {
        StandardStreams.error("warning: \(TerminalText.line(text))\n")
    }

    func finish(_ record: RunFinished) {
        StandardStreams.output(NoticeRenderer.terminal(NoticeContent(record.report), color: false))
    }

    static func text(_ note: RunNote) -> String {
        switch note {
        case .stage(let report):
            let detail = report.detail.isEmpty ? "" : ": " + TerminalText.line(report.detail)
            return "\(report.stage.rawValue) \(report.state == .running ? "begins" : report.state.rawValue)\(detail)"
        case .gate(let name, let state, let detail):
            return "  gate \(name): \(state == .failed ? "unanswered" : state.rawValue), \(TerminalText.line(detail))"
        case .machine(let machine):
            let detail = machine.detail.isEmpty ? "" : ": " + TerminalText.line(machine.detail)
            return
                "  machine \(machine.machine) (\(machine.group), \(machine.region)) \(machine.phase.rawValue)\(detail)"
        case .message(let text):
            return "  " + TerminalText.line(text)
        case .warning(let text):
            return "warning: " + TerminalText.line(text)
        }
    }
}
