// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

// Dispatch sources may be used from any thread; their types do not say so yet.
@preconcurrency internal import Dispatch
internal import Glibc
internal import Model
internal import Rehearsal
internal import Synchronization

/// How far a long piece of work is: a bar redrawn in place on a terminal, a line now and then elsewhere.
final class RehearsalProgress: Sendable {
    /// How often the bar is redrawn, and how often it is looked whether a line is due.
    private static let redrawInterval = DispatchTimeInterval.milliseconds(200)
    /// The least time between two lines where there is no terminal.
    private static let lineInterval = Duration.seconds(10)
    /// The rate is that of this long at most, so that it follows what the machine does now.
    private static let rateWindow = Duration.seconds(10)
    private static let barWidth = 30

    enum Look {
        /// Redrawn in place.
        case bar(color: Bool)
        case lines
    }

    private struct State {
        var samples: [(at: ContinuousClock.Instant, done: Int)] = []
        var lastLineAt: ContinuousClock.Instant?
        var isDrawn = false
        var isOver = false
    }

    /// What the work is, for people: `seeds`.
    private let unit: String
    private let total: Int
    private let look: Look
    private let startedAt = ContinuousClock.now
    private let done = Atomic<Int>(0)
    private let violations = Atomic<Int>(0)
    private let state = Mutex(State())
    private let timer: any DispatchSourceTimer

    init(_ unit: String, total: Int, look: Look) {
        self.unit = unit
        self.total = total
        self.look = look
        timer = DispatchSource.makeTimerSource(queue: .global())
        timer.schedule(deadline: .now() + RehearsalProgress.redrawInterval, repeating: RehearsalProgress.redrawInterval)
        timer.setEventHandler { [weak self] in self?.show() }
        timer.resume()
    }

    var elapsed: Duration { ContinuousClock.now - startedAt }

    /// Counts work that is done, from whichever thread.
    func count(violated: Bool) {
        done.add(1, ordering: .relaxed)
        if violated { violations.add(1, ordering: .relaxed) }
    }

    /// Takes the bar away; nothing is drawn after it.
    func finish() {
        timer.cancel()
        state.withLock { state in
            state.isOver = true
            if state.isDrawn { StandardStreams.error("\r\u{1B}[2K") }
        }
    }

    private func show() {
        state.withLock { state in
            // A redraw that was under way when the work ended must not paint over its report.
            guard !state.isOver else { return }
            let (now, done) = (ContinuousClock.now, done.load(ordering: .relaxed))
            state.samples.append((now, done))
            state.samples.removeAll { now - $0.at > RehearsalProgress.rateWindow }
            let rate = RehearsalProgress.rate(
                from: state.samples.first ?? (startedAt, 0), to: (now, done), orSince: startedAt)
            switch look {
            case .bar(let color):
                state.isDrawn = true
                let line = RehearsalProgress.bar(done, of: total, color: color) + facts(done, rate)
                StandardStreams.error("\r\u{1B}[2K" + LiveRunView.fit(line, RehearsalProgress.terminalWidth()))
            case .lines:
                guard now - (state.lastLineAt ?? startedAt) >= RehearsalProgress.lineInterval else { return }
                state.lastLineAt = now
                StandardStreams.error("[\(TerminalText.duration(now - startedAt))]" + facts(done, rate) + "\n")
            }
        }
    }

    /// ` 1,024 of 2,000 seeds (51.2 %), 0 violations, 830 a second, 2 s left`.
    private func facts(_ done: Int, _ rate: Double) -> String {
        let broken = violations.load(ordering: .relaxed)
        var text =
            " \(Words.number(done)) of \(Words.number(total)) \(unit) (\(Words.percent(done, of: total))), "
            + "\(Words.number(broken)) violation\(broken == 1 ? "" : "s"), \(Words.number(Int(rate))) a second"
        if rate > 0, done < total {
            text += ", \(Words.time(.seconds(Int64((Double(total - done) / rate).rounded(.up))))) left"
        }
        return text
    }

    /// What was done a second between two looks; since the start where they are one.
    private static func rate(
        from first: (at: ContinuousClock.Instant, done: Int), to last: (at: ContinuousClock.Instant, done: Int),
        orSince start: ContinuousClock.Instant
    ) -> Double {
        let (from, count) = first.at < last.at ? (first.at, last.done - first.done) : (start, last.done)
        let seconds = (last.at - from).inSeconds
        return seconds > 0 ? Double(count) / seconds : 0
    }

    private static func bar(_ done: Int, of total: Int, color: Bool) -> String {
        let filled = total > 0 ? min(barWidth, done * barWidth / total) : 0
        let (full, rest) = (String(repeating: "█", count: filled), String(repeating: "░", count: barWidth - filled))
        return color ? "\u{1B}[36m\(full)\u{1B}[2m\(rest)\u{1B}[0m" : full + rest
    }

    private static func terminalWidth() -> Int {
        var size = winsize()
        let result = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size)
        return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : 100
    }
}

extension GlobalOptions {
    /// A bar on a terminal, lines elsewhere.
    var progressLook: RehearsalProgress.Look {
        let isPlain = noColor || environment["TERM"] == "dumb" || !StandardStreams.isErrorTerminal
        return isPlain ? .lines : .bar(color: environment["NO_COLOR"]?.isEmpty ?? true)
    }
}
