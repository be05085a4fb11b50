// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Exhaustive search through everything that can happen to the real machines on an abstract platform.
package enum ModelCheck {
    /// What can go wrong on a way; each time counts against the configuration's bound.
    package enum Fault: String, Codable, Sendable, CaseIterable {
        /// A call takes any time from now on: it arrives late, its answer comes late or never, its sender gives it up.
        case slowAnswer
        /// A call certainly was not sent.
        case unreachable
        /// A change is delivered a second time, at any later moment.
        case duplicate
        /// A list shows the fleet as it was one change ago.
        case staleList
        /// A machine takes any time to start.
        case slowStart
        /// A new version exits.
        case failedStart
        /// A run is suspended for any time.
        case sleep
        /// A run's process is gone; what it had sent may still arrive.
        case crash
        /// A run is told to stop.
        case interrupt
    }

    /// Which machines are checked.
    package enum Subject: String, Codable, Sendable, CaseIterable {
        /// One machine's change of an existing machine, from lease to healthy.
        case change
        /// The same, leased ahead: its turn comes after one refresh of the lease.
        case changeAhead
        /// The creation of a machine.
        case creation
        /// Rollouts over a fleet.
        case rollout
        /// Whole deploys, of a fleet or, without machines, of a new app.
        case run
        /// A deploy whose process dies and whose journal is lost, and a recovery that begins after that.
        case recovery
    }

    /// One search: what takes part, what may go wrong, and how often on one way.
    package struct Configuration: Hashable, Codable, Sendable {
        package var name: String
        package var subject: Subject
        /// 1…3.
        package var machines: Int
        /// 1…2.
        package var actors: Int
        package var faults: Set<Fault>
        /// Faults on one way at most; the number of faults of all kinds together.
        package var maxFaults: Int
        /// The fewest healthy machines an update may leave; nil where the floor is not checked.
        package var floor: Int?
        /// Whether actors may begin at any time rather than at the same moment.
        package var startsApart: Bool
        /// Whether time passes from deadline to deadline, rather than from poll to poll.
        package var hasLongSteps: Bool
        /// Whether undisturbed calls of one actor are answered in the order in which they were sent.
        package var isOrdered: Bool
        /// Whether what is read may be old by the time it is heard, without counting as a fault.
        package var splitsReads: Bool
        /// Whether a run whose process died is gone on with from its journal.
        package var resumes: Bool
        /// Whether of several orders in which answers that concern nobody else are heard only one is tried.
        package var isReduced: Bool
        /// Whether the search goes deep first, and keeps nothing but fingerprints of what it has left.
        package var isDeep: Bool
        /// A bug put around the machines' decisions.
        package var flaw: SeededFlaw?
        /// Where the search stops without having seen everything.
        package var maxStates: Int

        package init(
            _ name: String, _ subject: Subject, machines: Int = 1, actors: Int = 1, faults: Set<Fault>,
            maxFaults: Int, floor: Int? = nil, startsApart: Bool = false, hasLongSteps: Bool = false,
            isOrdered: Bool = false,
            splitsReads: Bool = false, resumes: Bool = false, isReduced: Bool = false, isDeep: Bool = false,
            flaw: SeededFlaw? = nil, maxStates: Int = 20_000_000
        ) {
            self.name = name
            self.subject = subject
            self.machines = machines
            self.actors = actors
            self.faults = faults
            self.maxFaults = maxFaults
            self.floor = floor
            self.startsApart = startsApart
            self.hasLongSteps = hasLongSteps
            self.isOrdered = isOrdered
            self.splitsReads = splitsReads
            self.resumes = resumes
            self.isReduced = isReduced
            self.isDeep = isDeep
            self.flaw = flaw
            self.maxStates = maxStates
        }
    }

    /// Searches through everything that the configuration lets happen.
    package static func run(_ configuration: Configuration) -> ModelCheckResult {
        var search = Search(configuration)
        while true { if let result = search.advance(by: 10_000) { return result } }
    }

    /// A search that is done bit by bit, for whoever has other things to do between.
    package struct Search {
        private enum Kind {
            case changes(Frontier<ChangeDecider>)
            case rollouts(Frontier<RolloutDecider>)
            case runs(Frontier<RunDecider>)
            /// While it advances: what is not held twice need not be copied.
            case idle
        }

        package let configuration: Configuration
        private var kind: Kind
        /// The situations found so far.
        package private(set) var states = 1

        package init(_ configuration: Configuration) {
            self.configuration = configuration
            switch configuration.subject {
            case .change, .changeAhead, .creation:
                kind = .changes(Frontier(from: Beginnings.changes(configuration), configuration))
            case .rollout: kind = .rollouts(Frontier(from: Beginnings.rollouts(configuration), configuration))
            case .run, .recovery: kind = .runs(Frontier(from: Beginnings.runs(configuration), configuration))
            }
        }

        /// Looks at so many situations more; nil while the search is not over.
        package mutating func advance(by count: Int) -> ModelCheckResult? {
            var result: ModelCheckResult?
            switch kind {
            case .changes(var search):
                kind = .idle
                result = search.advance(by: count)
                states = search.states
                kind = .changes(search)
            case .rollouts(var search):
                kind = .idle
                result = search.advance(by: count)
                states = search.states
                kind = .rollouts(search)
            case .runs(var search):
                kind = .idle
                result = search.advance(by: count)
                states = search.states
                kind = .runs(search)
            case .idle: break
            }
            result?.name = configuration.name
            return result
        }
    }
}

/// In which order a search goes on.
private enum Frontier<D: Decider> {
    case broad(Exploration<D>)
    case deep(DeepExploration<D>)
    case idle

    init(from start: Situation<D>, _ configuration: ModelCheck.Configuration) {
        let most = configuration.maxStates
        self =
            configuration.isDeep
            ? .deep(DeepExploration(from: start, maxStates: most)) : .broad(Exploration(from: start, maxStates: most))
    }

    var states: Int {
        switch self {
        case .broad(let search): search.states
        case .deep(let search): search.states
        case .idle: 0
        }
    }

    mutating func advance(by count: Int) -> ModelCheckResult? {
        switch self {
        case .broad(var search):
            self = .idle
            defer { self = .broad(search) }
            return search.advance(by: count)
        case .deep(var search):
            self = .idle
            defer { self = .deep(search) }
            return search.advance(by: count)
        case .idle: return nil
        }
    }
}

/// What a search came to.
package struct ModelCheckResult: Hashable, Codable, Sendable {
    package var name: String
    /// Situations that differ in something that decides what happens next.
    package var states: Int
    package var transitions: Int
    /// The steps to the situation that is farthest from the beginning, on its shortest way; nil where the search did
    /// not go breadth first.
    package var depth: Int?
    /// The steps of the longest way from the beginning to an end: no run takes more, whatever happens. Nil where the
    /// search did not come that far.
    package var longestPath: Int?
    /// Whether everything was seen.
    package var isExhausted: Bool
    /// The shortest way to a broken law; nil where none was found.
    package var violation: ModelCheck.Story?

    package init(
        name: String, states: Int, transitions: Int, depth: Int? = nil, longestPath: Int? = nil, isExhausted: Bool,
        violation: ModelCheck.Story? = nil
    ) {
        self.name = name
        self.states = states
        self.transitions = transitions
        self.depth = depth
        self.longestPath = longestPath
        self.isExhausted = isExhausted
        self.violation = violation
    }

    /// Whether everything was seen and every law held.
    package var holds: Bool { isExhausted && violation == nil }
}
