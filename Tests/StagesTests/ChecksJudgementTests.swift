// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// What CI says of a commit, as far as a pipeline asks.
@Suite struct ChecksJudgementTests {
    private static let commit = Sample.commit("c").id
    private static let head = CommitID(String(repeating: "d", count: 40))

    /// `name`, `app/name` with a state; a state in brackets is one that is not complete.
    private static func check(_ text: String, id: Int64 = 1, since seconds: Int64? = 0) -> CommitCheck {
        let parts = text.split(separator: "=").map(String.init)
        let isOpen = parts[1].hasPrefix("(")
        let path = parts[0].split(separator: "@").map(String.init)
        return CommitCheck(
            kind: path.count > 1 && path[1] == "status" ? .status : .run, name: path[0],
            app: path.count > 1 && path[1] != "status" ? path[1] : "", id: id,
            state: parts[1].filter { $0 != "(" && $0 != ")" }, isComplete: !isOpen,
            since: seconds.map { Sample.start + .seconds($0) })
    }

    private static func judge(
        _ names: [String], _ checks: [CommitCheck], accepted: [String] = ["success"], head: [CommitCheck]? = nil
    ) -> ChecksJudgement {
        ChecksJudgement(
            ChecksPolicy(names: names, accepted: accepted), found: CommitChecks(checks, wanted: names, on: commit),
            head: head.map {
                HeadChecks(
                    pullRequest: PullRequest(number: 12, head: self.head, mergeCommit: commit),
                    checks: CommitChecks($0, wanted: names, on: self.head))
            })
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var names: [String]
        var checks: [String]
        var accepted = ["success"]
        var verdict: ChecksJudgement.Verdict
        var detail: String
        var testDescription: String { "\(names) of \(checks)" }

        init(
            _ names: [String], _ checks: [String], accepting accepted: [String] = ["success"],
            _ verdict: ChecksJudgement.Verdict, _ detail: String
        ) {
            (self.names, self.checks, self.accepted) = (names, checks, accepted)
            (self.verdict, self.detail) = (verdict, detail)
        }
    }

    static let cases = [
        Case(["Danger"], ["Danger=success"], .passed, "it passed"),
        Case(["Danger", "ci/x"], ["Danger=success", "ci/x@status=success"], .passed, "all 2 passed"),
        Case(["Danger", "Danger"], ["Danger=success"], .passed, "it passed"),
        Case(["actions/Danger"], ["Danger@actions=success", "Danger@other=failure"], .passed, "it passed"),
        // A name without an app means every app's check.
        Case(
            ["Danger"], ["Danger@actions=success", "Danger@other=failure"], .refused, "“Danger” ended with failure"),
        Case(["Danger"], ["Danger=success", "Danger@status=(pending)"], .pending, "under way: “Danger” is pending"),
        Case(["Danger"], ["Danger=(in_progress)"], .pending, "under way: “Danger” is in_progress"),
        Case(
            ["A", "B"], ["A=(queued)", "B=failure"], .refused, "“A” is queued, “B” ended with failure"),
        Case(["A"], ["A=neutral"], .refused, "“A” ended with neutral"),
        Case(["A"], ["A=neutral"], accepting: ["success", "neutral"], .passed, "it passed"),
        Case(["A"], ["A=skipped"], accepting: ["success", "neutral"], .refused, "“A” ended with skipped"),
        Case(["A"], ["A=skipped"], accepting: ["success", "skipped"], .passed, "it passed"),
        Case(["A"], ["A=cancelled"], .refused, "“A” ended with cancelled"),
        Case(["A"], ["A=timed_out"], .refused, "“A” ended with timed_out"),
        Case(["A"], ["A=action_required"], .refused, "“A” ended with action_required"),
        Case(["A"], ["A=stale"], .refused, "“A” ended with stale"),
        Case(["A"], ["A=a word of tomorrow"], .refused, "“A” ended with a word of tomorrow"),
        Case(["Danger"], [], .refused, "“Danger” is missing: the commit has no checks at all"),
        Case(
            ["Danger", "Gitleaks"], ["danger=success", "Gitleaks=success"], .refused,
            "“Danger” is missing (did you mean “danger”?)"),
        Case(
            ["Docs Policy"], ["Docs policy check=success", "docs-policy=success"], .refused,
            "“Docs Policy” is missing (did you mean “docs-policy”?)"),
        Case(
            ["Build"], ["🐳 build=success", "x=success", "y=success", "z=success"], .refused,
            "“Build” is missing (did you mean “🐳 build”?)"),
        Case(["🐳 build"], ["🐳 build=success"], .passed, "it passed"),
        Case(
            ["👩‍🚀 fly"], ["🚀 fly=success", "x=success", "y=success", "z=success"], .refused,
            "“👩‍🚀 fly” is missing (did you mean “🚀 fly”?)"),
        Case(
            ["github/Danger"], ["Danger@actions=success"], .refused,
            "“github/Danger” is missing (did you mean “Danger”?)"),
        // What others wrote stays on its line.
        Case(
            ["A\n::set-output x"], ["A=success", "B=success", "C=success", "D=success"], .refused,
            "“A ::set-output x” is missing"),
    ]

    @Test(arguments: cases) func `one name, one answer`(_ given: Case) {
        let checks = given.checks.enumerated().map { Self.check($0.element, id: Int64($0.offset + 1)) }
        let judgement = Self.judge(given.names, checks, accepted: given.accepted)
        #expect(judgement.verdict == given.verdict)
        #expect(judgement.detail(at: Sample.start) == given.detail)
    }

    @Test func `the latest attempt counts, in whatever order they come`() {
        let story = [
            Self.check("A=failure", id: 1, since: 0), Self.check("A=success", id: 7, since: 60),
            Self.check("A=cancelled", id: 3, since: 30),
        ]
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            #expect(Self.judge(["A"], order.map { story[$0] }).verdict == .passed)
        }
        let again = Self.check("A=(queued)", id: 9, since: nil)
        for order in [story + [again], [again] + story] {
            #expect(Self.judge(["A"], order).verdict == .pending, "a new attempt has not begun")
        }
        let broken = Self.check("A=failure", id: 11, since: 90)
        #expect(Self.judge(["A"], [broken] + story).verdict == .refused)
    }

    @Test func `how long something is under way is told in minutes`() {
        let judgement = Self.judge(["A"], [Self.check("A=(in_progress)")])
        #expect(judgement.detail(at: Sample.start + .seconds(59)) == "under way: “A” is in_progress")
        #expect(judgement.detail(at: Sample.start + .seconds(185)) == "under way: “A” is in_progress for 3 min")
    }

    @Test func `what only the pull request's head had counts, and is said`() {
        let judgement = Self.judge(
            ["A", "B"], [Self.check("A=success")], head: [Self.check("A=failure"), Self.check("B=success")])
        #expect(judgement.verdict == .passed)
        #expect(
            judgement.detail(at: Sample.start)
                == "all 2 passed; B on the head of pull request #12 (\(Self.head.short)), whose tree is the same")
    }

    @Test func `what failed on the commit is not mended by the pull request's head`() {
        let judgement = Self.judge(["A"], [Self.check("A=failure")], head: [Self.check("A=success")])
        #expect(judgement.verdict == .refused)
    }

    @Test func `what failed or runs on the head decides where the commit has nothing`() {
        #expect(Self.judge(["A"], [], head: [Self.check("A=failure")]).verdict == .refused)
        #expect(Self.judge(["A"], [], head: [Self.check("A=(queued)")]).verdict == .pending)
        #expect(Self.judge(["A"], [], head: []).verdict == .refused)
    }

    @Test func `of 3,000 check runs only those that matter are kept, quickly`() {
        let all = (1...3000).map { Self.check("shard \($0) of the 🧪 matrix=success", id: Int64($0)) }
        let names = ["shard 17 of the 🧪 matrix", "shard 3001 of the 🧪 matrix"]
        let begin = ContinuousClock.now
        let found = CommitChecks(all, wanted: names, on: Self.commit)
        let took = ContinuousClock.now - begin
        #expect(found.checks.map(\.name) == [names[0]])
        #expect(found.total == 3000)
        #expect(found.nearest[names[1]]?.count == CommitChecks.maxSuggestions)
        let verdict = ChecksJudgement(ChecksPolicy(names: names), found: found).verdict
        #expect(verdict == .refused)
        #expect(took < .seconds(5), "it took \(took)")
    }

    @Test func `a long list of refusals is cut, with how many are left`() {
        let names = (1...40).map { "check number \($0)" }
        let judgement = Self.judge(names, names.map { Self.check("\($0)=failure") })
        #expect(judgement.detail(at: Sample.start).hasSuffix(" and 30 more"))
    }

    /// Adding a check that is not complete, or not accepted, never makes a verdict better.
    @Test func `more bad news never helps`() {
        var random = SeededRandom(seed: 4)
        let states = ["success", "failure", "(queued)", "neutral", "skipped", "(in_progress)"]
        func rank(_ verdict: ChecksJudgement.Verdict) -> Int {
            switch verdict {
            case .passed: 0
            case .pending: 1
            case .refused: 2
            }
        }
        for _ in 1...500 {
            let count = Int(random.next() % 5) + 1
            let names = (1...count).map { "c\($0)" }
            let checks = names.map { Self.check("\($0)=\(states[Int(random.next() % 6)])") }
            let before = Self.judge(names, checks).verdict
            for bad in ["failure", "(queued)"] {
                let more = checks + [Self.check("c1@other=\(bad)", id: 99)]
                #expect(rank(Self.judge(names, more).verdict) >= rank(before), "\(checks) and \(bad)")
            }
            let passes = checks.allSatisfy { $0.state == "success" }
            #expect((before == .passed) == passes, "\(checks)")
        }
    }
}
