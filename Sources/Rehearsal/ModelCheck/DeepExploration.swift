// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// A depth-first search through everything that can follow from one situation, for searches too large to be held: it
/// keeps the situations on the way that it is going, and nothing but a fingerprint of all others.
///
/// It sees what ``Exploration`` sees, step for step: a situation that is met again on the way that led to it is a
/// circle, and when one is left for good the longest way from it to an end is known. What it can't tell is a shortest
/// way: where a law is broken, a breadth-first search, as large as one may be held, looks for a shorter story.
struct DeepExploration<D: Decider> {
    /// A situation on the way, and how far its choices have been tried.
    private struct Step {
        let situation: Situation<D>
        let print: SituationFingerprint
        let choices: [Situation<D>.Choice]
        var tried = 0
        /// Of the longest way found behind it so far.
        var height = 0
    }

    /// The most situations that are held to find a shorter story.
    private static var maxShorter: Int { 300_000 }

    private let start: Situation<D>
    private let maxStates: Int
    private let form = CanonicalForm()
    private var visited = VisitedTable()
    private var way: [Step] = []
    private var transitions = 0
    private var longest = 0
    /// What was found, while a shorter story is looked for.
    private var found: ModelCheckResult?
    private var shorter: Exploration<D>?

    init(from start: Situation<D>, maxStates: Int) {
        self.start = start
        self.maxStates = maxStates
    }

    /// The situations found so far.
    var states: Int { visited.count }

    /// Expands so many situations, and returns what the search came to once it is over; its name is still empty.
    mutating func advance(by count: Int) -> ModelCheckResult? {
        if found != nil { return shorten(by: count) }
        if visited.count == 0 {
            let print = start.fingerprint(form)
            _ = visited.meet(print)
            if let broken = enter(start, print) { return violated(broken, by: nil) }
        }
        let target = visited.count + count
        while let step = way.last {
            guard step.tried < step.choices.count else {
                leave()
                continue
            }
            if visited.count >= maxStates { return result(isExhausted: false) }
            if visited.count >= target { return nil }
            way[way.count - 1].tried += 1
            var after = step.situation
            if let broken = after.take(step.choices[step.tried]) { return violated(broken, by: nil) }
            transitions += 1
            let print = after.fingerprint(form)
            switch visited.meet(print) {
            case .closed(let height)?: way[way.count - 1].height = max(step.height, height + 1)
            case .open?: return violated(circle(to: print), by: print)
            case nil: if let broken = enter(after, print) { return violated(broken, by: nil) }
            }
        }
        return result(isExhausted: true)
    }

    private mutating func enter(_ situation: Situation<D>, _ print: SituationFingerprint) -> BrokenLaw? {
        let choices = situation.choices()
        way.append(Step(situation: situation, print: print, choices: choices))
        guard situation.isOver || choices.contains(where: { $0.fault == nil }) else { return .deadlock }
        return nil
    }

    private mutating func leave() {
        let step = way.removeLast()
        visited.close(step.print, height: step.height)
        guard !way.isEmpty else {
            longest = step.height
            return
        }
        way[way.count - 1].height = max(way[way.count - 1].height, step.height + 1)
    }

    private func result(isExhausted: Bool) -> ModelCheckResult {
        ModelCheckResult(
            name: "", states: visited.count, transitions: transitions, longestPath: isExhausted ? longest : nil,
            isExhausted: isExhausted)
    }

    // MARK: - Stories

    /// `print` is that of the situation which is met again.
    private func circle(to print: SituationFingerprint) -> BrokenLaw {
        let length = way.count - (way.firstIndex { $0.print == print } ?? 0)
        return BrokenLaw(.everyWayEnds, "the last \(length) steps can happen again and again")
    }

    private mutating func violated(_ broken: BrokenLaw, by circle: SituationFingerprint?) -> ModelCheckResult? {
        var outcome = result(isExhausted: false)
        // The last situation of a way that can't go on has no choice that was tried.
        outcome.violation = .telling(start, way.filter { $0.tried > 0 }.map { $0.tried - 1 }, broken)
        way = []
        visited = VisitedTable()
        // A breadth-first search finds circles only at its end.
        if circle != nil { return outcome }
        found = outcome
        shorter = Exploration(from: start, maxStates: DeepExploration.maxShorter)
        return nil
    }

    private mutating func shorten(by count: Int) -> ModelCheckResult? {
        guard let other = shorter?.advance(by: count) else { return nil }
        if let story = other.violation { found?.violation = story }
        return found
    }
}
