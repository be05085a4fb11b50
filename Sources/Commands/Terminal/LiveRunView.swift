// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

// Dispatch sources may be used from any thread; their types do not say so yet.
@preconcurrency internal import Dispatch
internal import Glibc
internal import Model
internal import Notifications
internal import Orchestration
internal import Stages
internal import Synchronization

/// A run as it happens, redrawn in place on a terminal: stages, one line per machine, elapsed time, what it waits for.
final class LiveRunView: RunView {
    /// How often the elapsed time is redrawn.
    static let redrawInterval = DispatchTimeInterval.milliseconds(200)
    /// Messages kept below the stages.
    static let maxMessages = 4
    /// Machine lines shown; the rest is counted.
    static let maxMachines = 20

    private struct Frame {
        var title = ""
        var stages: [StageReport] = []
        var gates: [(name: String, state: StageState, detail: String)] = []
        var machines: [MachineProgress] = []
        var messages: [String] = []
        var waitingFor = ""
        var lastEventAt: Timestamp?
        var lastEventSeen = ContinuousClock.now
        var startedAt: Timestamp?
        var drawnLines = 0
        var isOver = false
    }

    private let frame = Mutex(Frame())
    private let timer: any DispatchSourceTimer
    private let usesColor: Bool

    init(usesColor: Bool) {
        self.usesColor = usesColor
        timer = DispatchSource.makeTimerSource(queue: .global())
    }

    func begin(_ request: RunRequest) {
        frame.withLock {
            $0.title = "\(request.kind.rawValue) of \(request.pipeline) (\(request.app)), run \(request.run)"
        }
        timer.schedule(deadline: .now(), repeating: LiveRunView.redrawInterval)
        timer.setEventHandler { [weak self] in self?.draw() }
        timer.resume()
    }

    func show(_ progress: RunProgress) {
        frame.withLock { frame in
            if frame.startedAt == nil { frame.startedAt = progress.at }
            frame.lastEventAt = progress.at
            frame.lastEventSeen = .now
            frame.stages = progress.stages
            frame.waitingFor = progress.waitingFor
            for note in progress.notes {
                switch note {
                case .stage(let report):
                    if report.state == .running, report.stage == .rollback { frame.machines = [] }
                case .gate(let name, let state, let detail):
                    frame.gates.removeAll { $0.name == name }
                    frame.gates.append((name, state, detail))
                case .machine(let machine):
                    if let index = frame.machines.firstIndex(where: { $0.machine == machine.machine }) {
                        frame.machines[index] = machine
                    } else {
                        frame.machines.append(machine)
                    }
                case .message(let text):
                    frame.messages.append(TerminalText.line(text))
                case .warning(let text):
                    frame.messages.append("warning: " + TerminalText.line(text))
                }
            }
            frame.messages = Array(frame.messages.suffix(LiveRunView.maxMessages))
        }
        draw()
    }

    func warn(_ text: String) {
        frame.withLock { frame in
            frame.messages.append("warning: " + TerminalText.line(text))
        }
    }

    func finish(_ record: RunFinished) {
        timer.cancel()
        frame.withLock { frame in
            frame.stages = record.report.stages
            frame.waitingFor = ""
            frame.messages = []
            frame.isOver = true
        }
        draw(isLast: true)
        StandardStreams.output("\n" + NoticeRenderer.terminal(NoticeContent(record.report), color: usesColor))
    }

    // MARK: - Drawing

    private func draw(isLast: Bool = false) {
        frame.withLock { frame in
            // A redraw that was under way when the run ended must not paint over its summary.
            guard !frame.isOver || isLast, !frame.stages.isEmpty else { return }
            let width = LiveRunView.terminalWidth()
            let lines = LiveRunView.lines(of: frame, color: usesColor).map { LiveRunView.fit($0, width) }
            let up = frame.drawnLines > 0 ? "\u{1B}[\(frame.drawnLines)A" : ""
            let text = lines.map { "\u{1B}[2K" + $0 + "\n" }.joined()
            let leftOver = max(0, frame.drawnLines - lines.count)
            let blank = String(repeating: "\u{1B}[2K\n", count: leftOver)
            let back = leftOver > 0 ? "\u{1B}[\(leftOver)A" : ""
            StandardStreams.error(up + "\r" + text + blank + back)
            frame.drawnLines = lines.count
        }
    }

    private static func lines(of frame: Frame, color: Bool) -> [String] {
        let now = (frame.lastEventAt ?? Timestamp(milliseconds: 0)) + (ContinuousClock.now - frame.lastEventSeen)
        func paint(_ text: String, _ code: String) -> String { color ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
        let elapsed = frame.startedAt.map { TerminalText.duration(now - $0) } ?? ""
        var lines = [paint(frame.title, "1") + "  " + elapsed]
        for stage in frame.stages {
            lines.append(line(of: stage, now, paint))
            if stage.stage == .preValidation, stage.state != .passed, stage.state != .skipped {
                for gate in frame.gates where gate.state != .passed {
                    lines.append("      " + paint(gate.name, "33") + "  " + TerminalText.line(gate.detail))
                }
            }
            let showsMachines = stage.stage == .deploy || stage.stage == .rollback
            if showsMachines, stage.state == .running { lines += machineLines(frame.machines, paint) }
        }
        if !frame.waitingFor.isEmpty { lines.append("  waiting for " + TerminalText.line(frame.waitingFor)) }
        for message in frame.messages { lines.append("  " + paint(message, "2")) }
        return lines
    }

    private static func line(
        of stage: StageReport, _ now: Timestamp, _ paint: (String, String) -> String
    ) -> String {
        let (mark, code): (String, String) =
            switch stage.state {
            case .waiting: ("·", "2")
            case .running: ("▸", "36")
            case .passed: ("✓", "32")
            case .failed: ("✗", "31")
            case .refused: ("✗", "31")
            case .skipped: ("–", "2")
            case .overridden: ("!", "33")
            }
        let name = stage.stage.rawValue.padding(to: 15)
        let took = stage.startedAt.map { TerminalText.duration((stage.finishedAt ?? now) - $0) } ?? ""
        return "  " + paint(mark, code) + " " + name + took.padding(to: 9) + " " + TerminalText.line(stage.detail)
    }

    private static func machineLines(
        _ machines: [MachineProgress], _ paint: (String, String) -> String
    ) -> [String] {
        var lines = machines.prefix(maxMachines).map { machine in
            let code: String =
                switch machine.phase {
                case .waiting, .unchanged: "2"
                case .leasing, .updating, .creating, .starting, .checking: "36"
                case .done: "32"
                case .failed: "31"
                }
            return "      " + machine.machine.padding(to: 20) + machine.group.rawValue.padding(to: 9)
                + machine.region.padding(to: 5) + paint(machine.phase.rawValue.padding(to: 10), code)
                + TerminalText.line(machine.detail)
        }
        let left = machines.dropFirst(maxMachines)
        if !left.isEmpty {
            let done = left.count { $0.phase == .done || $0.phase == .unchanged }
            lines.append("      and \(left.count) more, \(done) of them done")
        }
        return lines
    }

    private static func terminalWidth() -> Int {
        var size = winsize()
        let result = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size)
        return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : 100
    }

    /// Cuts a line to the terminal's width, not counting colour codes: a wrapped line would spoil the redraw.
    static func fit(_ line: String, _ width: Int) -> String {
        var shown = 0
        var result = ""
        var inEscape = false
        for character in line {
            if character == "\u{1B}" { inEscape = true }
            if inEscape {
                result.append(character)
                if character == "m" { inEscape = false }
                continue
            }
            if shown + 1 >= width {
                return result + "…" + (line.contains("\u{1B}") ? "\u{1B}[0m" : "")
            }
            result.append(character)
            shown += 1
        }
        return result
    }
}

extension String {
    /// The text with blanks after it up to a width.
    func padding(to width: Int) -> String {
        count >= width ? self + " " : self + String(repeating: " ", count: width - count)
    }
}
