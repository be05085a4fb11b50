// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import Model
internal import Rehearsal
internal import Stages

struct DeployCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        abstract: "Take a commit to a verified, serving release.",
        discussion: """
            Runs the pipeline's stages: pre-validation, deployment window, build, deploy, health verify; where the \
            new release is not healthy, it goes back to the last verified one by itself.

            Examples:
              airboss deploy production --reason "Checkout fix, #512"
              airboss deploy production --commit v1.8.0 --reason "Release 1.8.0"
              airboss deploy production --image registry.fly.io/shop:deployment-01J --reason "Without a build"
              airboss deploy production --plan HASH --reason "As planned"
              airboss deploy production --emergency --approved-by "Ana Lima" --reason "Payments are down"

            Exit codes: 0 verified, 10 failed and rolled back, 11 a person is needed, 12 refused, 13 another run holds \
            the app, 69 platform unavailable and nothing changed, 78 invalid pipeline or fly.toml.
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String

    @Option(name: .long, help: "Why; it stands in every notice and record.")
    var reason: String

    @Option(name: .long, help: ArgumentHelp("The commit: any revision git understands.", valueName: "rev"))
    var commit: String?

    @Option(name: .long, help: ArgumentHelp("Deploy this image instead of building.", valueName: "ref"))
    var image: String?

    @Option(
        name: .long,
        help: ArgumentHelp("Refuse where it would do something else than this plan says: see plan.", valueName: "hash"))
    var plan: String?

    @OptionGroup var gates: GateOptions
    @OptionGroup var waiting: WaitOption
    @OptionGroup var options: GlobalOptions

    func validate() throws {
        try Checks.reason(reason)
        if let plan, PlanHash(plan) == nil {
            throw ValidationError("“\(plan)” is no hash of a plan: `airboss plan \(pipeline)` prints one.")
        }
    }

    /// In GitHub Actions the commit is the one the workflow runs for, whatever else is checked out.
    static func revision(_ commit: String?, _ environment: [String: String]) -> String {
        let actionsCommit = environment["GITHUB_ACTIONS"] == "true" ? environment["GITHUB_SHA"] : nil
        return commit ?? actionsCommit ?? "HEAD"
    }

    func run() async throws {
        let context = try options.load(pipeline)
        let session = RunSession(
            context: context, options: options, view: options.makeView(), wait: waiting.duration,
            approvalFiles: gates.approval)
        let makeRequest = { (run: RunID, actor: String, channels: [NoticeOrder.Channel]) throws(AirbossError) in
            try context.request(
                .deploy, run: run, actor: actor, reason: reason,
                revision: DeployCommand.revision(commit, context.environment), image: image,
                overrides: gates.overrides,
                wait: waiting.duration, channels: channels)
        }
        var planned: DeploymentPlan?
        if let hash = plan.flatMap(PlanHash.init) {
            planned = try await session.plan(.deploy, makeRequest).holding(to: hash)
        }
        let report = try await session.run(.deploy) { [planned] run, actor, channels throws(AirbossError) in
            var request = try makeRequest(run, actor, channels)
            if let planned { request.hold(to: planned) }
            return request
        }
        throw ArgumentParser.ExitCode(report.exitCode)
    }
}

extension DeploymentPlan {
    /// The plan itself where it is the one with this hash; throws (12) with what is different now.
    fileprivate func holding(to hash: PlanHash) throws(AirbossError) -> DeploymentPlan {
        guard steps != nil else {
            throw AirbossError(
                refusal?.outcome == .unavailable ? .unavailable : .refused,
                "what would be done now can't be told, and so not be held to a plan: \(refusal?.reason ?? "unknown")",
                hint: refusal?.hints.joined(separator: "\n") ?? "")
        }
        let different = self.hash.differences(from: hash)
        guard !different.isEmpty else { return self }
        throw AirbossError(
            .refused,
            "what would be done now is not what the plan said: \(different.map(\.words).joined(separator: ", ")) "
                + "\(different.count == 1 ? "is" : "are") different; nothing changed",
            hint: "see what would be done now: airboss plan \(request.pipeline) (its hash is \(self.hash))")
    }
}

extension RunRequest {
    /// Pins what a plan has found, so that what changes between the plan and the run refuses it.
    fileprivate mutating func hold(to plan: DeploymentPlan) {
        if let commit = plan.facts.commit { revision = commit.id.rawValue }
        planned = plan.plannedStart
    }
}

/// What more than one command checks of its flags.
enum Checks {
    static func reason(_ text: String) throws {
        guard text.contains(where: { !$0.isWhitespace }) else {
            throw ValidationError("--reason is empty: say why, for whoever reads the record later.")
        }
    }

    static func overrides(emergency: Bool, approvedBy: String?, skip: [String]) throws {
        for name in skip {
            guard let gate = GateName(rawValue: name) else {
                let names = GateName.allCases.filter(\.canBeSkipped).map(\.rawValue).joined(separator: ", ")
                throw ValidationError("There is no gate “\(name)”. Gates that can be skipped: \(names).")
            }
            guard gate.canBeSkipped else {
                throw ValidationError("The gate “\(name)” can't be skipped: without it there is nothing to deploy.")
            }
        }
        let isOverriding = emergency || !skip.isEmpty
        guard !isOverriding || approvedBy?.contains(where: { !$0.isWhitespace }) == true else {
            throw ValidationError("An override needs --approved-by WHO: it stands in every notice and record.")
        }
        guard isOverriding || approvedBy == nil else {
            throw ValidationError("--approved-by goes with --emergency or --skip GATE.")
        }
    }
}
