// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// A breadth-first search through everything that can follow from one situation.
///
/// Each situation is expanded once, in the order in which it is found, so that the first broken law found has a
/// shortest path. When nothing is left, the graph itself is checked: a graph without a circle, whose every end is one
/// at which all participants have finished, is a proof that every way ends.
struct Exploration<D: Decider> {
    private let start: Situation<D>
    private let maxStates: Int
    private let form = CanonicalForm()
    private var numbers: [SituationFingerprint: UInt32] = [:]
    /// Where each situation was found from, and by which of the choices there.
    private var parents: [(situation: UInt32, choice: UInt16)] = []
    /// The situations that follow, one after the other; `ends[n]` is where those of situation n stop.
    private var followers: [UInt32] = []
    private var ends: [Int] = []
    /// The situations that are as many steps away as `depth` says, the next one last, and those one step farther.
    private var level: [Situation<D>]
    private var next: [Situation<D>] = []
    private var depth = 0

    init(from start: Situation<D>, maxStates: Int) {
        self.start = start
        self.maxStates = maxStates
        level = [start]
        _ = number(start, from: 0, by: 0)
    }

    /// The situations found so far.
    var states: Int { numbers.count }

    /// Expands so many situations, and returns what the search came to once it is over; its name is still empty.
    mutating func advance(by count: Int) -> ModelCheckResult? {
        for _ in 0..<count {
            if level.isEmpty {
                guard !next.isEmpty else { return conclude() }
                // From the end, so that what was looked at is let go at once.
                (level, next) = (next.reversed(), [])
                depth += 1
            }
            if let situation = level.popLast(), let result = expand(situation) { return result }
            if numbers.count >= maxStates { return result(depth, isExhausted: false, nil) }
        }
        return nil
    }

    private mutating func expand(_ situation: Situation<D>) -> ModelCheckResult? {
        let current = UInt32(ends.count)
        let choices = situation.choices()
        if !situation.isOver, !choices.contains(where: { $0.fault == nil }) {
            return result(depth, isExhausted: false, story(to: current, by: nil, .deadlock))
        }
        for (index, choice) in choices.enumerated() {
            var after = situation
            if let broken = after.take(choice) {
                return result(depth + 1, isExhausted: false, story(to: current, by: index, broken))
            }
            let (found, isNew) = number(after, from: current, by: index)
            followers.append(found)
            if isNew { next.append(after) }
        }
        ends.append(followers.count)
        return nil
    }

    private func conclude() -> ModelCheckResult {
        guard let longest = longestPath() else { return result(depth, isExhausted: true, storyOfCircle()) }
        var outcome = result(depth, isExhausted: true, nil)
        outcome.longestPath = longest
        return outcome
    }

    private mutating func number(
        _ situation: Situation<D>, from parent: UInt32, by choice: Int
    ) -> (UInt32, isNew: Bool) {
        let print = situation.fingerprint(form)
        if let known = numbers[print] { return (known, false) }
        let number = UInt32(numbers.count)
        numbers[print] = number
        parents.append((parent, UInt16(choice)))
        return (number, true)
    }

    private func result(_ depth: Int, isExhausted: Bool, _ story: ModelCheck.Story?) -> ModelCheckResult {
        ModelCheckResult(
            name: "", states: numbers.count, transitions: followers.count, depth: depth, isExhausted: isExhausted,
            violation: story)
    }

    // MARK: - Ends

    /// The situations that follow, choice by choice.
    private func followers(of index: Int) -> ArraySlice<UInt32> {
        followers[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    /// How many steps lead to each situation that is not behind a circle yet; 0 once all of them are settled.
    private func unsettled() -> (counts: [UInt32], longest: Int?) {
        var waiting = [UInt32](repeating: 0, count: ends.count)
        for follower in followers { waiting[Int(follower)] += 1 }
        var lengths = [Int32](repeating: 0, count: ends.count)
        var ready = waiting.indices.filter { waiting[$0] == 0 }
        var done = 0
        var longest: Int32 = 0
        while let index = ready.popLast() {
            done += 1
            longest = max(longest, lengths[index])
            for follower in followers(of: index).map(Int.init) {
                lengths[follower] = max(lengths[follower], lengths[index] + 1)
                waiting[follower] -= 1
                if waiting[follower] == 0 { ready.append(follower) }
            }
        }
        return (waiting, done == ends.count ? Int(longest) : nil)
    }

    /// The steps of the longest way from the start to an end; nil where the graph has a circle.
    private func longestPath() -> Int? { unsettled().longest }

    // MARK: - Stories

    private func path(to number: Int) -> [Int] {
        var choices: [Int] = []
        var current = number
        while current != 0 {
            choices.append(Int(parents[current].choice))
            current = Int(parents[current].situation)
        }
        return choices.reversed()
    }

    private func story(to number: UInt32, by last: Int?, _ broken: BrokenLaw) -> ModelCheck.Story {
        ModelCheck.Story.telling(start, path(to: Int(number)) + (last.map { [$0] } ?? []), broken)
    }

    /// The way to a circle, and once around it.
    private func storyOfCircle() -> ModelCheck.Story {
        // Backwards from anything behind a circle, one comes to the circle and stays on it.
        var before: [Int: Int] = [:]
        let waiting = unsettled().counts
        for index in ends.indices where waiting[index] > 0 {
            for follower in followers(of: index) where waiting[Int(follower)] > 0 { before[Int(follower)] = index }
        }
        var seen: [Int] = []
        var current = waiting.firstIndex { $0 > 0 } ?? 0
        while !seen.contains(current) {
            seen.append(current)
            current = before[current] ?? current
        }
        let circle = Array(seen[(seen.firstIndex(of: current) ?? 0)...].reversed())
        // `circle` runs forwards and ends with the situation it is entered by.
        var situation = start
        var story = ModelCheck.Story(
            law: .everyWayEnds, steps: [], end: "the last \(circle.count) steps can happen again and again")
        for index in path(to: current) { situation = story.tell(situation.choices()[index], from: situation) }
        for target in circle {
            let next = situation.choices().first { choice in
                var after = situation
                return after.take(choice) == nil && numbers[after.fingerprint(form)] == UInt32(target)
            }
            guard let next else { break }
            situation = story.tell(next, from: situation)
        }
        return story
    }
}
