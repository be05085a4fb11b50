// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The line of runs that wait for an app and share nothing but the platform: each keeps a ticket in the metadata of
/// the machine by which runs meet.
///
/// A ticket says the run's place, one behind all that it saw when it came (Lamport's bakery: no clock is compared); how
/// long it has waited, by its own clock, which is a duration and means the same everywhere; and a beat that it raises
/// with every look, so that others see it live. Tickets decide nothing but the order in which runs ask for the lease:
/// one that is lost, forged, garbled or left behind costs order, or a wait with an end, and nothing else.
package struct WaitingLine: Hashable, Codable, Sendable {
    /// So many looks in a row (of one's own, 5 s apart) that show a ticket as it was: its run is gone.
    package static let looksOfTheDead = 4
    /// How much a look at which a ticket is missing counts for: an update of the machine takes all tickets away, and
    /// those who live write theirs again before the next look.
    package static let looksOfTheMissing = 2
    /// How often a ticket must have been renewed before its run counts as alive: one writing may have been under way
    /// when its sender died.
    package static let risesOfTheLiving = 2
    /// So many looks past the end of its own wait a run minds the line, if none of those before it is known to live.
    package static let maxLooksPastWait = 12
    /// Tickets that are kept in mind; what else claims to be one is not minded.
    package static let maxTickets = 100
    /// Places beyond it are no places.
    package static let maxPlace = 1_000_000_000
    /// The longest text that can be a ticket, in characters.
    package static let maxTicketCharacters = 120
    /// The longest wait that a ticket may tell of, in seconds: longer than anybody can ask for.
    package static let maxWaitedSeconds = 8 * 24 * 3600
    /// How much longer than oneself another must have waited to count as having come before, in seconds.
    static let waitedMarginSeconds = 1
    /// Runs that are named to people.
    static let maxNamed = 3

    /// A run's ticket, as it stands in the metadata: `place beat waited-seconds who`.
    package struct Ticket: Hashable, Codable, Sendable, CustomStringConvertible {
        /// 1…``WaitingLine/maxPlace``.
        package var place: Int
        package var beat: Int
        /// Seconds.
        package var waited: Int
        /// Who had the run made, for people.
        package var who: String

        package init(place: Int, beat: Int, waited: Int, who: String) {
            self.place = place
            self.beat = beat
            self.waited = waited
            self.who = Ticket.plain(who)
        }

        /// Nil for what is no ticket.
        package init?(_ text: String) {
            guard text.utf8.count <= WaitingLine.maxTicketCharacters else { return nil }
            let words = text.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count == 4, let place = Int(words[0]), (1...WaitingLine.maxPlace).contains(place),
                let beat = Int(words[1]), beat >= 0, let waited = Int(words[2]),
                (0...WaitingLine.maxWaitedSeconds).contains(waited), Ticket.plain(String(words[3])) == words[3]
            else { return nil }
            (self.place, self.beat, self.waited, who) = (place, beat, waited, String(words[3]))
        }

        package var description: String { "\(place) \(beat) \(waited) \(who)" }

        /// Letters, digits and a few signs: what is shown to people, and parted by spaces.
        static func plain(_ text: String) -> String {
            let signs: Set<Character> = ["-", "_", ".", "@", "+"]
            let plain = text.prefix(40).map {
                $0.isASCII && ($0.isLetter || $0.isNumber) || signs.contains($0) ? $0 : "-"
            }
            return plain.isEmpty ? "-" : String(plain)
        }
    }

    /// Somebody else who waits.
    package struct Waiting: Hashable, Codable, Sendable {
        package var run: RunID
        package var who: String
    }

    private struct Sighting: Hashable, Codable, Sendable {
        var text: String
        /// Nil where it can't be read: then it has no place, and nobody stands behind it.
        var ticket: Ticket?
        /// Looks since it was last seen to change.
        var still = 0
        /// How often it was seen to have been renewed.
        var rises = 0
        /// Whether it is only known from a list, which may be old.
        var isListed = false

        var isStanding: Bool { ticket != nil && still < WaitingLine.looksOfTheDead }
        var isLiving: Bool { rises >= WaitingLine.risesOfTheLiving }
    }

    package let run: RunID
    private let who: String
    /// When it began to wait, by its own clock.
    private let since: Timestamp
    /// Its own place; nil until it writes its first ticket.
    package private(set) var place: Int?
    private var beat = 0
    private var sightings: [String: Sighting] = [:]
    /// Looks in a row at which its own ticket was away.
    private var wipedLooks = 0
    /// Looks since the end of its own wait.
    private var looksPastWait = 0

    /// - Parameter listed: the machine's tickets as a list showed them, which may be old.
    package init(run: RunID, who: String, since: Timestamp, listed: [String: String] = [:]) {
        self.run = run
        self.who = who
        self.since = since
        for (key, text) in WaitingLine.tickets(in: listed) where key != self.key {
            sightings[key] = Sighting(text: text, ticket: Ticket(text), isListed: true)
        }
    }

    /// The key of the run's own ticket.
    package var key: String { Bookkeeping.ticketPrefix + run.rawValue }

    /// Whether there is anybody's ticket to mind.
    package var isEmpty: Bool { !sightings.values.contains { $0.isStanding } }

    /// Those who come before, the first of them first.
    package var ahead: [Waiting] {
        standing.filter { isBefore($0.key, $0.ticket) }.sorted {
            ($0.ticket.place, $0.key) < ($1.ticket.place, $1.key)
        }.map { Waiting(run: WaitingLine.run($0.key), who: $0.ticket.who) }
    }

    /// Whether one of those who come before is known to live.
    package var isAheadLiving: Bool {
        standing.contains { isBefore($0.key, $0.ticket) && sightings[$0.key]?.isLiving == true }
    }

    /// The keys of tickets whose runs are gone.
    package var dead: [String] {
        sightings.filter { $0.value.still >= WaitingLine.looksOfTheDead }.map(\.key).sorted()
    }

    /// Those who come before, for people; empty where nobody does.
    package var aheadText: String {
        let ahead = ahead
        guard !ahead.isEmpty else { return "" }
        let names = ahead.prefix(WaitingLine.maxNamed).map { "run \($0.run) by \($0.who)" }
        let more = ahead.count > names.count ? ", …" : ""
        return "\(ahead.count) \(ahead.count == 1 ? "run" : "runs") before this one: "
            + names.joined(separator: ", ") + more
    }

    // MARK: - Looking

    /// Takes in what the machine's metadata shows now.
    package mutating func look(_ metadata: [String: String], at now: Timestamp) {
        let found = WaitingLine.tickets(in: metadata).filter { $0.key != key }
        for (key, text) in found {
            guard var known = sightings[key] else {
                guard sightings.count < WaitingLine.maxTickets else { continue }
                sightings[key] = Sighting(text: text, ticket: Ticket(text))
                continue
            }
            if known.text == text {
                known.still = min(known.still + 1, WaitingLine.looksOfTheDead)
            } else {
                known.still = 0
                known.rises += 1
            }
            (known.text, known.ticket, known.isListed) = (text, Ticket(text), false)
            sightings[key] = known
        }
        let present = Set(found.map(\.key))
        // Where its own is away as well, the machine was updated: that tells of nobody that they have left, and whoever
        // asks for the lease between two looks writes later than whoever only looks. But one whose own ticket never
        // stands does not wait for ever.
        wipedLooks = beat > 0 && metadata[key] == nil ? wipedLooks + 1 : 0
        let missing = wipedLooks == 0 ? WaitingLine.looksOfTheMissing : min(wipedLooks - 1, 1)
        for (key, sighting) in sightings where !present.contains(key) {
            sightings[key]?.still += missing
            if sighting.isListed || sighting.still + missing >= WaitingLine.looksOfTheDead { sightings[key] = nil }
        }
        letPass(at: now)
    }

    /// The machine's metadata could not be read: nobody was seen to live.
    package mutating func lookFailed() {
        sightings = sightings.mapValues { sighting in
            var sighting = sighting
            sighting.still = min(sighting.still + 1, WaitingLine.looksOfTheDead)
            return sighting
        }
    }

    /// Counts a look past the end of the run's own wait; false once the line need not be minded any more.
    package mutating func mindsPastWait() -> Bool {
        looksPastWait += 1
        return looksPastWait <= WaitingLine.maxLooksPastWait
    }

    /// Who has waited longer came before, also where its ticket was away when this run chose its place: an update of
    /// the machine takes all tickets away for a moment. What a ticket says of its wait is never too much, so that of
    /// two runs at most one gives way, and the one that has waited longest never does.
    private mutating func letPass(at now: Timestamp) {
        guard let place else { return }
        let mine = waited(at: now)
        let longer = standing.filter {
            $0.ticket.waited > mine + WaitingLine.waitedMarginSeconds && (sightings[$0.key]?.rises ?? 0) > 0
        }
        guard longer.contains(where: { !isBefore($0.key, $0.ticket) }), let last = longer.map(\.ticket.place).max()
        else { return }
        self.place = min(max(place, last + 1), WaitingLine.maxPlace)
    }

    // MARK: - One's own ticket

    /// The ticket to write now.
    package mutating func renew(at now: Timestamp) -> Ticket {
        let place = place ?? min((standing.map(\.ticket.place).max() ?? 0) + 1, WaitingLine.maxPlace)
        self.place = place
        beat += 1
        return Ticket(place: place, beat: beat, waited: waited(at: now), who: who)
    }

    private func waited(at now: Timestamp) -> Int {
        min(max(0, Int((now - since).inSeconds)), WaitingLine.maxWaitedSeconds)
    }

    private var standing: [(key: String, ticket: Ticket)] {
        sightings.compactMap { key, sighting in
            guard sighting.isStanding, let ticket = sighting.ticket else { return nil }
            return (key, ticket)
        }
    }

    /// Whoever has no place yet stands behind all.
    private func isBefore(_ key: String, _ ticket: Ticket) -> Bool {
        guard let place else { return true }
        return (ticket.place, key) < (place, self.key)
    }

    // MARK: - Keys

    /// What of a machine's metadata are tickets; garbled ones too.
    private static func tickets(in metadata: [String: String]) -> [(key: String, value: String)] {
        metadata.filter { entry in
            let run = entry.key.dropFirst(Bookkeeping.ticketPrefix.count)
            return entry.key.hasPrefix(Bookkeeping.ticketPrefix) && (1...40).contains(run.count)
                && run == Ticket.plain(String(run))[...]
        }.sorted { $0.key < $1.key }
    }

    private static func run(_ key: String) -> RunID { RunID(String(key.dropFirst(Bookkeeping.ticketPrefix.count))) }
}
