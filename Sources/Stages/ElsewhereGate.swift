// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import Verification

/// Whether other places are well: URLs that answer, and other pipelines that run a verified release and answer.
///
/// Live health alone says nothing of what is answering: a pipeline is well where its fleet runs the release that the
/// ledger holds for verified, and answers now. What can't be told is never taken for a yes.
package struct ElsewhereGate: Hashable, Codable, Sendable {
    /// One place to look at.
    package struct Place: Hashable, Codable, Sendable {
        package var probe: HealthProbe
        /// The app of a pipeline; nil for a URL.
        package var app: AppName?
        /// The digest it must run; nil for that of its verified release, whichever it is.
        package var digest: ImageDigest?

        package init(probe: HealthProbe, app: AppName? = nil, digest: ImageDigest? = nil) {
            self.probe = probe
            self.app = app
            self.digest = digest
        }
    }

    private enum Question: Hashable, Codable, Sendable {
        case health(index: Int)
        case standing(index: Int)
    }

    /// Machines that are named of those which run something else.
    private static let maxNamedMachines = 3

    package let gate: GateName
    private let places: [Place]
    private var open: [ActionID: Question] = [:]
    private var good: [String] = []
    private var refusals: [String] = []
    private var unanswered: [String] = []
    private var hints: [String] = []
    /// What it said; nil until everything is answered.
    package private(set) var result: GateResult?

    package init(_ gate: GateName, _ places: [Place]) {
        self.gate = gate
        self.places = places
    }

    /// The gates of this kind that a run has.
    static func gates(of request: RunRequest) -> [ElsewhereGate] {
        let settings = request.settings
        var gates: [ElsewhereGate] = []
        if !settings.healthyElsewhere.isEmpty {
            gates.append(
                ElsewhereGate(
                    .healthyElsewhere,
                    settings.healthyElsewhere.map { Place(probe: $0, app: settings.appsElsewhere?[$0.name]) }))
        }
        if let promotion = request.promotion, request.kind == .promote {
            gates.append(ElsewhereGate(.promotion, [promotion.source]))
        }
        return gates
    }

    package func awaits(_ action: ActionID) -> Bool { open[action] != nil }

    package mutating func begin(_ agenda: inout Agenda) {
        for (index, place) in places.enumerated() {
            open[agenda.perform(.probe(request: place.probe.probe))] = .health(index: index)
        }
        for (index, place) in places.enumerated() {
            guard let app = place.app else { continue }
            open[agenda.perform(.elsewhere(app: app))] = .standing(index: index)
        }
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer) throws(IllegalEvent) {
        guard let question = open.removeValue(forKey: action) else {
            throw IllegalEvent(state: "asking elsewhere", event: "an answer to \(action)")
        }
        switch (question, answer) {
        case (.health(let index), .probe(let seen)): judge(places[index], seen)
        case (.health(let index), .failed(let failure)):
            refusals.append("\(places[index].probe.name) \(failure.text)")
        case (.standing(let index), .elsewhere(let standing)): judge(places[index], standing)
        case (.standing(let index), .failed(let failure)):
            unanswered.append("which release \(places[index].probe.name) runs went unanswered: \(failure.text)")
            if !failure.hint.isEmpty { hints.append(failure.hint) }
        default: throw IllegalEvent(state: "asking \(question)", event: "\(answer)")
        }
        if open.isEmpty { conclude() }
    }

    private mutating func judge(_ place: Place, _ seen: ProbeResult) {
        if let fault = place.probe.criteria.fault(in: seen) { refusals.append("\(place.probe.name) \(fault)") }
    }

    private mutating func judge(_ place: Place, _ standing: ElsewhereStanding) {
        let name = place.probe.name
        guard standing.isKnown else {
            unanswered.append(
                "the state store knows no release of \(name), so that nobody can say whether it is verified")
            hints.append("deploy \(name) with this state store first, or share one: --state postgres://…")
            return
        }
        guard let release = standing.release, let digest = standing.digest else {
            refusals.append("\(name) has no verified release now")
            return
        }
        if let wanted = place.digest, wanted != digest {
            refusals.append("\(name)'s verified release is now \(release) (\(digest.short)), and not \(wanted.short)")
            return
        }
        guard !standing.machines.isEmpty else {
            refusals.append("\(name) has no machines")
            return
        }
        let others = standing.machines.filter { $0.digest != digest }
        guard others.isEmpty else {
            let named = others.prefix(ElsewhereGate.maxNamedMachines).map {
                "\($0.id) runs \($0.digest?.short ?? "an unknown image")"
            }
            let more = others.count - named.count
            refusals.append(
                "\(name) does not run its verified release \(release) (\(digest.short)): "
                    + named.joined(separator: ", ") + (more > 0 ? ", and \(more) more" : ""))
            return
        }
        good.append("\(name) \(release) (\(digest.short))")
    }

    private mutating func conclude() {
        let bad = (refusals + unanswered).sorted()
        guard !bad.isEmpty else {
            let names = places.map { place in
                good.first { $0.hasPrefix(place.probe.name + " ") } ?? place.probe.name
            }
            let what = places.contains { $0.app != nil } ? "verified, running and healthy now" : "healthy now"
            result = GateResult(gate, .passed, "\(names.joined(separator: ", ")) \(what)")
            return
        }
        let way =
            gate.canBeSkipped
            ? "mend it first, or --skip \(gate.rawValue) with --approved-by"
            : "mend it first, or deploy its image: airboss deploy PIPELINE --image REF"
        result = GateResult(
            gate, refusals.isEmpty ? .unanswered : .refused, bad.joined(separator: "; "),
            hint: (hints + [way]).joined(separator: "; "))
    }
}
