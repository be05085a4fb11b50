// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Notifications
internal import Orchestration
internal import Stages
internal import Synchronization

/// A run in the log of a job: a group for each stage, annotations for warnings, overrides and failures.
///
/// Where standard output is for a program it stays JSON, and only the annotations are added, on standard error.
final class ActionsRunView: RunView {
    private struct State {
        var hasGroup = false
        var startedAt: Timestamp?
    }

    private let job: ActionsJob
    private let document: JSONRunView?
    private let state = Mutex(State())

    init(_ job: ActionsJob, document: JSONRunView? = nil) {
        self.job = job
        self.document = document
    }

    func begin(_ request: RunRequest) {
        document?.begin(request)
        // A run that was found dead is ended first: this is another.
        endGroup()
        log("\(request.kind.rawValue) of \(request.pipeline) (\(request.app)), run \(request.run)")
    }

    func show(_ progress: RunProgress) {
        document?.show(progress)
        let start = state.withLock { state in
            if state.startedAt == nil { state.startedAt = progress.at }
            return state.startedAt ?? progress.at
        }
        let elapsed = TerminalText.duration(progress.at - start)
        for note in progress.notes {
            switch note {
            case .stage(let report) where report.state == .running: beginGroup(report.stage.rawValue)
            case .stage:
                endGroup()
                log("[\(elapsed)] \(PlainRunView.text(note))")
            case .warning(let text): annotate(text)
            case .gate, .machine, .message: log("[\(elapsed)] \(PlainRunView.text(note))")
            }
        }
    }

    func warn(_ text: String) {
        document?.warn(text)
        annotate(text)
    }

    func finish(_ record: RunFinished) {
        endGroup()
        if let document {
            document.finish(record)
        } else {
            StandardStreams.output(NoticeRenderer.terminal(NoticeContent(record.report), color: false))
        }
        let report = record.report
        for override in report.overrides {
            job.annotate(
                .warning, title: "Override",
                [
                    "\(override.gate) was overridden by \(override.who): \(override.reason)",
                    "it would have said: \(override.wouldHaveSaid)",
                ])
        }
        guard report.exitCode != ExitCode.verified.rawValue else { return }
        job.annotate(
            .error, title: "Airboss " + report.outcome.rawValue.replacing("_", with: " "),
            [report.headline] + report.divergence + report.nextSteps)
    }

    private func annotate(_ warning: String) { job.annotate(.warning, title: "Airboss", [warning]) }

    private func log(_ line: String) {
        if document == nil { StandardStreams.error(TerminalText.line(line) + "\n") }
    }

    private func beginGroup(_ name: String) {
        endGroup()
        guard document == nil else { return }
        state.withLock { $0.hasGroup = true }
        job.beginGroup(name)
    }

    private func endGroup() {
        let had = state.withLock { state in
            defer { state.hasGroup = false }
            return state.hasGroup
        }
        if had { job.endGroup() }
    }
}
