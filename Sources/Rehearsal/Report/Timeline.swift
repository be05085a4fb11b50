// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// A run's trace made short enough to be read as a story.
package struct Timeline: Hashable, Sendable {
    /// Lines told of one story, gaps not counted.
    package static let maxLines = 16

    package struct Entry: Hashable, Sendable {
        /// Since the start of the run.
        package var at: Duration
        /// Nil for lines left out, which `text` counts.
        package var kind: TraceLine.Kind?
        package var actor: String
        package var text: String
    }

    package var entries: [Entry]

    /// Keeps what decided the story: broken invariants and ends, then faults, then what failed or began, then the rest;
    /// of each of these the first and the last where there are too many. Calls and what the platform did by itself are
    /// left to the whole trace.
    package init(_ trace: [TraceLine], maxLines: Int = Timeline.maxLines) {
        let told = trace.indices.filter { Timeline.isTold(trace[$0]) }
        let candidates = Timeline.withoutRepeats(told, in: trace)
        var kept: Set<Int> = []
        for weight in Weight.allCases.reversed() {
            let level = candidates.filter { Weight(trace[$0]) == weight }
            let room = maxLines - kept.count
            guard level.count > room else {
                kept.formUnion(level)
                continue
            }
            kept.formUnion(level.prefix((room + 1) / 2))
            kept.formUnion(level.suffix(room / 2))
            break
        }
        let chosen = kept.sorted()
        entries = []
        var previous: Int?
        for index in chosen {
            let line = trace[index]
            if let previous, index - previous > 1 {
                let left = trace[(previous + 1)..<index]
                let count = left.count(where: Timeline.isTold)
                if count > 0 {
                    entries.append(
                        Entry(at: line.at, kind: nil, actor: "", text: "\(count) more \(count == 1 ? "line" : "lines")")
                    )
                }
            }
            entries.append(Entry(at: line.at, kind: line.kind, actor: line.actor, text: line.text))
            previous = index
        }
    }

    /// That a stage begins is seen by how it ends; only what changes the fleet is told at its beginning too.
    private static func isTold(_ line: TraceLine) -> Bool {
        switch line.kind {
        case .call, .world: false
        case .note: !line.text.hasSuffix(" running") || ["deploy running", "rollback running"].contains(line.text)
        case .fault, .violation: true
        }
    }

    /// How much a line has to do with how the story went.
    private enum Weight: CaseIterable {
        case detail, turn, fault, end

        init(_ line: TraceLine) {
            let turns = ["begins", "failed", "refused", "going on", "goes on", "rolled back"]
            switch line.kind {
            case .violation: self = .end
            case .fault: self = .fault
            case .note where line.text.hasPrefix("ends: "): self = .end
            case .note where turns.contains(where: line.text.contains): self = .turn
            case .note, .call, .world: self = .detail
            }
        }
    }

    /// Of lines that say the same again and again the first is enough.
    private static func withoutRepeats(_ indices: [Int], in trace: [TraceLine]) -> [Int] {
        var seen: Set<String> = []
        return indices.filter { index in
            let line = trace[index]
            return line.kind == .violation
                || seen.insert("\(line.actor)|\(RehearsalTally.Ending.common(line.text))|\(line.kind)").inserted
        }
    }
}
