// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import FoundationEssentials
import Model
import Stages
import Testing

@Suite struct ApprovalGateTests {
    private static let now = Sample.start
    private static let commit = Sample.commit("c")

    /// A good approval, changed.
    private static func found(
        _ approver: String = "grace@example.com", key: String? = nil, problem: String = "", spentBy: RunID? = nil,
        _ change: (inout Approval) -> Void = { _ in }
    ) -> FoundApproval {
        var approval = Approval(
            pipeline: "production", app: Sample.app, commit: commit.id, approver: approver,
            createdAt: now - .seconds(60), expiresAt: now + .seconds(3600),
            nonce: String(repeating: "5", count: 32), reason: "reviewed")
        change(&approval)
        return FoundApproval(
            approval: approval, source: "the file a.json", key: key ?? "SHA256:\(approver)", problem: problem,
            spentBy: spentBy)
    }

    private static func judge(
        _ found: [FoundApproval], needed: Int = 1, authorMayApprove: Bool = false
    ) -> ApprovalGate.Verdict {
        ApprovalGate(ApprovalRule(needed: needed, authorMayApprove: authorMayApprove), for: Sample.request())
            .judge(found, of: commit, at: now)
    }

    private static func why(_ verdict: ApprovalGate.Verdict) -> String? {
        if case .refused(let detail, _) = verdict { detail } else { nil }
    }

    @Test func `a good approval counts, until the instant it expires`() {
        #expect(Self.judge([Self.found()]) == .enough(approvals: [Self.found()]))
        #expect(Self.why(Self.judge([Self.found { $0.expiresAt = Self.now + .milliseconds(1) }])) == nil)
        #expect(Self.why(Self.judge([Self.found { $0.expiresAt = Self.now }]))?.contains("it expired") == true)
        // The run that used it may come back to it: it was gone on with.
        #expect(Self.why(Self.judge([Self.found(spentBy: Sample.run)])) == nil)
    }

    static let bad: [(name: String, found: FoundApproval, says: String)] = [
        ("another pipeline", found { $0.pipeline = "staging" }, "it is for staging"),
        ("another app", found { $0.app = "other" }, "it is for production (other)"),
        ("another commit", found { $0.commit = Sample.commit("d").id }, "it is for commit dddd"),
        ("a short commit", found { $0.commit = "cccccccccc" }, "it is for commit cccccccccc"),
        ("made in the future", found { $0.createdAt = now + .seconds(301) }, "it was made in the future"),
        ("lives too long", found { $0.expiresAt = now + .seconds(8 * 86_400) }, "it would live for too long"),
        ("used by another run", found(spentBy: "01OTHER"), "run 01OTHER has used it"),
        ("a bad signature", found(problem: "its signature is not one of grace's"), "not one of grace's"),
        ("never verified", found(key: ""), "its signature was not verified"),
        ("by the author", found("ADA@example.com"), "ADA@example.com is the commit's author"),
        ("unreadable", FoundApproval(approval: nil, source: "x", problem: "it is no approval"), "it is no approval"),
    ]

    @Test(arguments: bad.indices)
    func `what does not count is refused, and says why`(_ index: Int) {
        let (name, found, says) = Self.bad[index]
        let verdict = Self.judge([found])
        #expect(Self.why(verdict)?.contains(says) == true, "\(name): \(verdict)")
        guard case .refused(_, let hint) = verdict else { return }
        #expect(hint.contains("airboss approve production --commit cccccccccc"), "\(hint)")
        // Beside a good one it does no harm, and does not count as a second.
        #expect(Self.why(Self.judge([found, Self.found("linus@example.com")])) == nil, "\(name)")
        #expect(Self.why(Self.judge([found, Self.found("linus@example.com")], needed: 2)) != nil, "\(name)")
    }

    @Test func `as many people as asked for, each by one name and one key`() {
        let (grace, linus) = (Self.found(), Self.found("linus@example.com"))
        #expect(Self.why(Self.judge([grace, linus], needed: 2)) == nil)
        #expect(Self.why(Self.judge([grace, grace], needed: 2))?.contains("counted already") == true)
        let sameKey = Self.found("linus@example.com", key: "SHA256:grace@example.com")
        #expect(Self.why(Self.judge([grace, sameKey], needed: 2))?.contains("1 of 2 approvals") == true)
        #expect(Self.why(Self.judge([grace, Self.found("GRACE@example.com", key: "SHA256:x")], needed: 2)) != nil)
        // More than are needed are not used up.
        guard case .enough(let used) = Self.judge([grace, linus], needed: 1) else {
            Issue.record("refused")
            return
        }
        #expect(used.count == 1)
        #expect(Self.why(Self.judge([Self.found("ada@example.com")], authorMayApprove: true)) == nil)
    }

    @Test func `a deploy without approvals is refused before anything changes, and one with them uses them up`() throws
    {
        func simulation(_ approvals: [FoundApproval], overrides: RunRequest.Overrides = .init()) throws -> Simulation {
            let request = Sample.request(overrides: overrides) { $0.approvals = ApprovalRule(needed: 1) }
            var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(3), behaviours: [:]))
            simulation.world.approvals = approvals
            try simulation.go()
            return simulation
        }
        let without = try simulation([])
        #expect(without.run.report?.exitCode == 12 && without.world.spent.isEmpty)
        #expect(without.run.report?.headline.contains("0 of 1 approvals of cccccccccc") == true)
        #expect(without.run.report?.nextSteps.contains { $0.contains("airboss approve production") } == true)
        let changes = without.effects.contains { if case .platform(let call) = $0 { call.isMutation } else { false } }
        #expect(!changes)
        // The last notice asks for it; with anything else in the way, an approval would not be all that lacks.
        let wanted = try #require(without.run.report?.approval)
        #expect(wanted.needed == 1 && wanted.isAllThatLacks && wanted.until == nil)
        #expect(wanted.how.contains { $0.contains("airboss approve production") })
        #expect(without.run.report?.isUnderWay == false)

        let with = try simulation([Self.found()])
        #expect(with.run.report?.outcome == .verified)
        #expect(with.run.report?.approval == nil)
        #expect(with.world.spent.map(\.approver) == ["grace@example.com"])

        let overridden = try simulation([], overrides: .init(approvedBy: "Grace", skippedGates: ["approvals"]))
        #expect(overridden.run.report?.outcome == .verified)
        #expect(overridden.run.report?.overrides.map(\.gate) == ["approvals"])
    }

    @Test func `a run that waits asks over every channel that people read, and waits for none of them`() throws {
        let request = Sample.request {
            $0.approvals = ApprovalRule(needed: 2, patience: .seconds(3600))
            $0.channels = NoticeOrder.Channel.allCases
        }
        var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(3), behaviours: [:]))
        simulation.world.approvals = [Self.found()]
        try simulation.go {
            $0.effects.count { $0.name == "approvals" } == 3 && $0.run.preValidation.search?.wanted != nil
        }
        let until = try #require(simulation.run.preValidation.search?.wanted?.until)
        #expect(until > simulation.now && until <= Sample.start + .seconds(3700))
        let orders = simulation.effects.compactMap { effect in
            if case .notify(let order) = effect, order.isOpening != true { order } else { nil }
        }
        #expect(orders.map(\.channel) == [.email, .slack, .webhook])
        for order in orders {
            #expect(order.report?.isUnderWay == true && order.report?.approval?.until == until)
            #expect(order.report?.nextSteps.contains { $0.contains("airboss approve production") } == true)
            #expect(order.report?.approval?.found.contains("1 of 2 approvals") == true)
            // It takes no place of the notice with which the run ends.
            var ended = try #require(order.report)
            ended.approval = nil
            let last = NoticeOrder(channel: order.channel, attempt: 1, report: ended)
            #expect(order.key == last.key + "/approval-wanted")
            #expect(order.tells == "approval_wanted")
        }
    }

    @Test func `approvals that can't be looked up, or were used meanwhile, refuse`() throws {
        for (name, failure) in [
            ("approvals", Failure(.unavailable, "the store is gone")),
            ("spend", Failure(.refused, "another run has used the approval")),
        ] {
            let request = Sample.request { $0.approvals = ApprovalRule(needed: 1) }
            var simulation = Simulation(request, on: SimulatedFly(Sample.fleet(3), behaviours: [:]))
            simulation.world.approvals = [Self.found()]
            simulation.world.scripted[name] = [.failed(failure: failure)]
            try simulation.go()
            #expect(simulation.run.report?.outcome == .refused, "\(name)")
            #expect(simulation.run.report?.headline.contains(failure.message) == true)
        }
    }

    @Test func `what earlier versions wrote is read as what it meant`() throws {
        let rule = try JSONDecoder().decode(
            ApprovalRule.self, from: Data(#"{"needed":2,"authorMayApprove":true}"#.utf8))
        #expect(rule == ApprovalRule(needed: 2, authorMayApprove: true))
        let found = Self.found()
        var json = try JSONValue(parsing: JSONEncoder().encode(found))
        for name in ["kind", "names"] { json[name] = nil }
        #expect(json["names"] == nil && json["source"] != nil)
        #expect(try JSONDecoder().decode(FoundApproval.self, from: Data(json.text().utf8)) == found)
    }

    @Test func `a rollback asks for nobody's approval`() throws {
        let request = Sample.request(.rollback) { $0.approvals = ApprovalRule(needed: 1) }
        var simulation = Simulation(
            request,
            on: SimulatedFly((1...3).map { Sample.machine($0, digest: Sample.newDigest) }, behaviours: [:]))
        simulation.world.records.append(Sample.release(72, digest: Sample.newDigest, state: .failed))
        try simulation.go()
        #expect(simulation.run.report?.outcome == .verified)
    }
}
