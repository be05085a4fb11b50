// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import GitHistory
internal import GitHub
internal import HTTPTransport
internal import Model
internal import Notifications
internal import PipelineFiles
internal import Ports
internal import Synchronization

/// The repository of one pipeline on GitHub, as a run asks for it.
struct LiveGitHub: GitHubPort {
    let client: GitHubClient

    func answer(_ call: GitHubCall) async -> Answer {
        do throws(GitHubError) {
            switch call {
            case .checks(let commit, let names):
                return .checks(found: CommitChecks(try await client.checks(of: commit), wanted: names, on: commit))
            case .pullRequests(let commit):
                return .pullRequests(list: try await client.pullRequests(of: commit))
            case .reviews(let number):
                return .reviews(list: PullRequestReview.latestDecisions(try await client.reviews(of: number)))
            case .workflowRun(let id):
                return .workflowRun(run: try await client.workflowRun(id))
            }
        } catch {
            return .failed(failure: Failure(error))
        }
    }
}

/// GitHub that can't be asked, with the reason.
struct NoGitHub: GitHubPort {
    let failure: Failure

    func answer(_ call: GitHubCall) async -> Answer { .failed(failure: failure) }
}

/// What GitHub is told of runs, one thing after the other: an end is told after the beginning.
///
/// What can't be told now waits in the outbox for a run that can.
final class LiveGitHubNotices: GitHubNotices {
    /// For so long after GitHub gave no answer in time nothing more is asked of it: waiting for a GitHub that hangs
    /// takes half a minute each time, and the outbox has the notice.
    static let outagePause = Duration.seconds(60)

    private struct Outage {
        var failure: Failure
        var until: Timestamp
    }

    private let client: Result<GitHubClient, AirbossError>
    private let assignees: [String]
    private let clock: any DriverClock
    private let last = Mutex<Task<Failure?, Never>?>(nil)
    private let outage = Mutex<Outage?>(nil)

    init(client: Result<GitHubClient, AirbossError>, assignees: [String], clock: any DriverClock) {
        self.client = client
        self.assignees = assignees
        self.clock = clock
    }

    /// As the pipeline asks for it; without a token, or a repository that is known, every notice says so.
    static func make(
        _ context: PipelineContext, origin: GitRepository?, http: any HTTPSending, clock: any DriverClock,
        observer: (@Sendable (GitHubCallRecord) -> Void)?
    ) async -> LiveGitHubNotices {
        do {
            return LiveGitHubNotices(
                client: .success(
                    try await context.githubClient(origin: origin, http: http, clock: clock, observer: observer)),
                assignees: context.pipeline.notify.github.assignees, clock: clock)
        } catch {
            return LiveGitHubNotices(client: .failure(error), assignees: [], clock: clock)
        }
    }

    func openDeployment(of report: RunReport, isQueued: Bool) async -> Failure? {
        await tell { client throws(GitHubError) in
            try await client.openDeployment(of: report, isQueued: isQueued)
        }
    }

    func recordDeployment(of report: RunReport) async -> Failure? {
        await tell { client throws(GitHubError) in try await client.recordDeployment(of: report) }
    }

    func keepIncident(of report: RunReport, title: String, body: String) async -> Failure? {
        let assignees = assignees
        return await tell { client throws(GitHubError) in
            try await client.keepIncident(of: report, title: title, body: body, assignees: assignees)
        }
    }

    private func tell(
        _ what: @escaping @Sendable (GitHubClient) async throws(GitHubError) -> Void
    ) async -> Failure? {
        let task = last.withLock { last in
            let earlier = last
            let task = Task { [self] () -> Failure? in
                _ = await earlier?.value
                let now = clock.now
                if let outage = outage.withLock({ $0 }), now < outage.until { return outage.failure }
                let failure = await LiveGitHubNotices.tell(client, what)
                if let failure, failure.code == .timedOut {
                    let until = clock.now + LiveGitHubNotices.outagePause
                    outage.withLock { $0 = Outage(failure: failure, until: until) }
                }
                return failure
            }
            last = task
            return task
        }
        return await task.value
    }

    private static func tell(
        _ client: Result<GitHubClient, AirbossError>,
        _ what: @Sendable (GitHubClient) async throws(GitHubError) -> Void
    ) async -> Failure? {
        switch client {
        case .failure(let error):
            // The next run may have a token.
            return Failure(.unavailable, error.message, hint: error.hint)
        case .success(let client):
            do throws(GitHubError) {
                try await what(client)
                return nil
            } catch {
                return Failure(error)
            }
        }
    }
}

extension PipelineContext {
    /// GitHub for this pipeline's repository; throws an ``AirbossError`` that says what is missing.
    func githubClient(
        origin: GitRepository?, http: any HTTPSending, clock: any DriverClock,
        observer: (@Sendable (GitHubCallRecord) -> Void)?
    ) async throws(AirbossError) -> GitHubClient {
        let token = try GitHubToken(environment: environment)
        let endpoints = try GitHubEndpoints(environment: environment)
        return GitHubClient(
            repository: try await githubRepository(origin, endpoints), endpoints: endpoints, token: token, http: http,
            clock: clock, userAgent: "airboss/\(Version.current)", observer: observer)
    }

    /// The job's own repository, else the pipeline's `github.repository`, else what the remote `origin` names.
    private func githubRepository(
        _ origin: GitRepository?, _ endpoints: GitHubEndpoints
    ) async throws(AirbossError) -> GitHubRepository {
        if let text = environment[GitHubRepository.variable], !text.isEmpty {
            guard let repository = GitHubRepository(text) else {
                throw AirbossError(
                    .configuration, "\(GitHubRepository.variable) is not a repository's name", hint: "owner/name")
            }
            return repository
        }
        if let text = pipeline.github.repository {
            guard let repository = GitHubRepository(try resolve(text)) else {
                throw AirbossError(
                    .configuration, "github.repository is not a repository's name", hint: "Write it as owner/name.",
                    location: text.location.description)
            }
            return repository
        }
        // A remote that can't be read names no repository, which the error below says.
        if let remote = try? await origin?.remoteURL(),
            let repository = GitHubRepository(remote: remote, hosts: endpoints.remoteHosts)
        {
            return repository
        }
        throw AirbossError(
            .configuration, "the repository on GitHub is not known",
            hint: "Set \(GitHubRepository.variable), or github.repository in the pipeline, to owner/name.")
    }
}
