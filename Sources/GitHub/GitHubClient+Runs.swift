// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a finished run leaves on GitHub. Both may be done again for the same run without leaving more.
extension GitHubClient {
    /// Deployments of an environment that are looked through for a run's own.
    static let maxKnownDeployments = 30
    /// Earlier deployments that are looked at to be made inactive.
    static let maxEarlierDeployments = 10
    /// The labels of an incident issue.
    package static let incidentLabels = ["deployment", "rollback", "production", "critical", "automated"]

    private static let runKey = "airboss_run"

    /// Records that a run waits for its turn (`queued`), or is about to change the app (`in_progress`): a deployment of
    /// its pipeline's environment.
    package func openDeployment(of report: RunReport, isQueued: Bool = false) async throws(GitHubError) {
        let known = try await deployments(to: report.pipeline, limit: GitHubClient.maxKnownDeployments)
        guard !isOvertaken(report, by: known),
            let own = try await deployments(of: report, among: known, isMade: true).first
        else { return }
        // What has begun, or ended, waits no more.
        let states = try await states(ofDeployment: own.id)
        guard isQueued ? states.isEmpty : states.allSatisfy({ $0 == DeploymentState.queued.rawValue }) else { return }
        try await setState(
            isQueued ? .queued : .inProgress, ofDeployment: own.id, description: report.withOverrides(report.reason),
            environmentURL: report.url, logURL: report.runURL)
    }

    /// Records how a run ended that changed the app, or was about to.
    ///
    /// After a success earlier deployments become inactive. A run that is told of only after a later one is inactive
    /// itself. What a dead run has left open is an error once a recovery has looked after the app.
    package func recordDeployment(of report: RunReport) async throws(GitHubError) {
        let hasBegun =
            report.wasAnnounced == true || report.stages.contains { $0.stage == .deploy && $0.startedAt != nil }
        let ended = GitHubClient.state(of: report)
        guard ended != nil || hasBegun else { return }
        let known = try await deployments(to: report.pipeline, limit: GitHubClient.maxKnownDeployments)
        let isLate = isOvertaken(report, by: known)
        // What was opened and then changed nothing has failed as well.
        let state = isLate && ended == .success ? .inactive : ended ?? .failure
        let own = try await deployments(of: report, among: known, isMade: ended != nil)
        for deployment in own where try await states(ofDeployment: deployment.id).first != state.rawValue {
            try await setState(
                state, ofDeployment: deployment.id, description: report.withOverrides(report.headline),
                environmentURL: report.url,
                logURL: report.runURL)
        }
        let others = known.filter { deployment in !own.contains { $0.id == deployment.id } }
        try await closeEarlier(others, after: report, state, hasOwn: !own.isEmpty)
    }

    /// Ends what earlier runs left standing: replaced by a success, or found open by a recovery, whose run held the app
    /// alone.
    private func closeEarlier(
        _ others: [DeploymentRecord], after report: RunReport, _ state: DeploymentState, hasOwn: Bool
    ) async throws(GitHubError) {
        let isRecovery = report.kind == .recover
        guard state == .success || isRecovery else { return }
        let open = [DeploymentState.inProgress.rawValue, DeploymentState.queued.rawValue]
        for deployment in others.prefix(GitHubClient.maxEarlierDeployments) {
            guard let last = try await states(ofDeployment: deployment.id).first else { continue }
            if isRecovery, open.contains(last) {
                try await setState(
                    .error, ofDeployment: deployment.id,
                    description: "its run ended without a word; found by \(report.run)", logURL: report.runURL)
            } else if state == .success, hasOwn || !isRecovery, last == "success" || open.contains(last) {
                // One that is still open belongs to a run that can say nothing any more.
                try await setState(
                    .inactive, ofDeployment: deployment.id, description: "replaced by run \(report.run)")
            }
        }
    }

    /// Whether a later run has its record already. Names of runs are in the order of their beginnings.
    private func isOvertaken(_ report: RunReport, by known: [DeploymentRecord]) -> Bool {
        known.contains { ($0.payload[GitHubClient.runKey] ?? "") > report.run.rawValue }
    }

    /// The run's own deployments; where there is none, one that is made now if it may be.
    private func deployments(
        of report: RunReport, among known: [DeploymentRecord], isMade: Bool
    ) async throws(GitHubError) -> [DeploymentRecord] {
        let own = known.filter { $0.payload[GitHubClient.runKey] == report.run.rawValue }
        guard own.isEmpty, isMade, let commit = report.commit else { return own }
        return [
            try await createDeployment(
                of: commit, environment: report.pipeline,
                description: ShownText.line(
                    report.withOverrides(report.reason), limit: GitHubClient.maxStatusDescription),
                payload: [GitHubClient.runKey: report.run.rawValue])
        ]
    }

    /// Opens the app's incident issue after a failure, or comments on the open one; a verified deploy closes it.
    ///
    /// - Parameters:
    ///   - title: of a new issue.
    ///   - body: Markdown, without secrets.
    package func keepIncident(
        of report: RunReport, title: String, body: String, assignees: [String]
    ) async throws(GitHubError) {
        guard let turn = GitHubClient.turn(of: report) else { return }
        let marker = "<!-- airboss-incident: \(report.app) -->"
        let told = "<!-- airboss-run: \(report.run) -->"
        let open = try await issues(labels: GitHubClient.incidentLabels).filter { $0.body.contains(marker) }
        let text = body + "\n\n" + told
        switch turn {
        case .opens:
            guard let issue = open.first else {
                _ = try await createIssue(
                    title: title, body: text + "\n" + marker, labels: GitHubClient.incidentLabels,
                    assignees: assignees)
                return
            }
            // Opened by this very run, whose answer was lost.
            if !issue.body.contains(told) { try await comment(onIssue: issue.number, text) }
        case .comments:
            if let issue = open.first { try await comment(onIssue: issue.number, text) }
        case .closes:
            for issue in open {
                try await comment(onIssue: issue.number, text)
                try await closeIssue(issue.number)
            }
        }
    }

    private enum Turn {
        case opens, comments, closes
    }

    /// What a run means for an incident; nil where nothing.
    private static func turn(of report: RunReport) -> Turn? {
        switch report.outcome {
        case .rolledBack, .needsHuman: .opens
        case .interrupted: report.release == nil ? nil : .opens
        case .verified: report.kind == .deploy || report.kind == .promote ? .closes : .comments
        case .refused, .unavailable: nil
        }
    }

    /// How a run's deployment ended; nil where the run changed nothing.
    private static func state(of report: RunReport) -> DeploymentState? {
        switch report.outcome {
        case .verified: .success
        case .rolledBack: .failure
        case .needsHuman: .error
        case .interrupted: report.release == nil ? nil : .error
        case .refused, .unavailable: nil
        }
    }
}

extension RunReport {
    /// A text of a run, after the gates that were overridden for it: what is too long is cut at its end.
    fileprivate func withOverrides(_ text: String) -> String {
        guard let who = overrides.first?.who else { return text }
        return "\(overrides.map(\.gate).joined(separator: ", ")) overridden by \(who): \(text)"
    }
}
