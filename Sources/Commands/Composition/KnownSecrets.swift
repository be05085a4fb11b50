// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyPlatform
internal import GitHub
internal import Model
internal import Notifications
internal import Orchestration
internal import PipelineFiles
internal import Ports
internal import Stages

extension PipelineContext {
    /// The secrets that this process was given: they are shown nowhere, in whatever text they come back.
    var knownSecrets: [String] {
        var secrets = (environment[FlyToken.variable] ?? "").split(separator: ",").map {
            String($0.hasPrefix("FlyV1 ") ? $0.dropFirst(6) : $0)
        }
        secrets += [environment["GITHUB_TOKEN"] ?? ""]
        // One whose variable is not set is told of where it is needed, and is no secret yet.
        func value(_ text: EnvironmentText?) -> String { text.flatMap { try? $0.resolve(in: environment) } ?? "" }
        let notify = pipeline.notify
        secrets += [value(notify.slack), value(notify.webhook?.url), value(notify.webhook?.secret)]
        let urls = [value(notify.email?.smtp), value(pipeline.state.url), environment["AIRBOSS_STATE"] ?? ""]
        secrets += urls.flatMap(KnownSecrets.passwords)
        return secrets.filter { $0.count >= RedactionRules.minValueCharacters }
    }
}

enum KnownSecrets {
    /// The password of a URL, as it stands there and as it is meant; none where there is none.
    static func passwords(of url: String) -> [String] {
        guard let scheme = url.firstRange(of: "://"), let at = url[scheme.upperBound...].lastIndex(of: "@"),
            let colon = url[scheme.upperBound..<at].firstIndex(of: ":")
        else { return [] }
        let password = String(url[url.index(after: colon)..<at])
        return [password, password.removingPercentEncoding].compactMap { $0 }
    }
}

extension String {
    /// The text with `%41` replaced by what it stands for; nil where that is no UTF-8.
    fileprivate var removingPercentEncoding: String? {
        var bytes: [UInt8] = []
        var rest = Substring(self).utf8
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let code = UInt8(Substring(rest.prefix(2)), radix: 16), rest.count >= 2 {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension RunRequest.Overrides {
    /// As they may be kept: a person typed them.
    var withoutSecrets: Self {
        var copy = self
        copy.approvedBy = Redactor.redact(approvedBy)
        return copy
    }
}

// MARK: - What comes in

extension Answer {
    /// The answer as a run may hear and keep it: texts that were written by others have no secrets in them any more.
    ///
    /// What a decision rests on stays as it is: configs, which are the way back; names of checks, which are compared;
    /// changed paths, among which are those of migrations.
    var withoutSecrets: Answer {
        switch self {
        case .failed(let failure): return .failed(failure: failure.withoutSecrets)
        case .commit(let commit): return .commit(commit: commit.withoutSecrets)
        case .changes(var changes):
            changes.commits = changes.commits.map(\.withoutSecrets)
            return .changes(changes: changes)
        case .migrations(var found):
            for index in found.commits.indices {
                found.commits[index].subject = Redactor.redact(found.commits[index].subject)
            }
            return .migrations(found: found)
        case .dirtyPaths(let paths): return .dirtyPaths(paths: paths.map(Redactor.redact))
        case .probe(var result):
            result.failure = Redactor.redact(result.failure)
            return .probe(result: result)
        case .leaseHolder(let holder):
            return .leaseHolder(
                holder: holder.map {
                    LeaseHolder(
                        owner: $0.owner, description: Redactor.redact($0.description), expiresAt: $0.expiresAt)
                })
        case .metadata(let values): return .metadata(values: values.mapValues(Redactor.redact))
        case .done, .app, .machines, .observations, .machine, .created, .lease, .waitTimedOut, .names,
            .platformRelease, .platformReleases, .versions, .onBranch, .checks, .pullRequests, .image, .window,
            .history, .approvals, .elsewhere, .approvalCheck, .reviews, .workflowRun, .woke:
            return self
        }
    }
}

extension Failure {
    var withoutSecrets: Failure {
        var copy = self
        copy.message = Redactor.redact(message)
        copy.hint = Redactor.redact(hint)
        return copy
    }
}

extension Commit {
    var withoutSecrets: Commit {
        var copy = self
        copy.message = Redactor.redact(message)
        copy.author.name = Redactor.redact(author.name)
        copy.committer.name = Redactor.redact(committer.name)
        copy.tags = tags.map(Redactor.redact)
        return copy
    }
}

/// A port whose answers have no secrets in them.
private struct Clean<Port: Sendable>: Sendable {
    var port: Port
}

extension Clean: PlatformPort where Port == any PlatformPort {
    func answer(_ call: PlatformCall) async -> Answer { await port.answer(call).withoutSecrets }
    var callCount: Int { port.callCount }
}

extension Clean: SourcePort where Port == any SourcePort {
    func answer(_ query: GitQuery) async -> Answer { await port.answer(query).withoutSecrets }
}

extension Clean: GitHubPort where Port == any GitHubPort {
    func answer(_ call: GitHubCall) async -> Answer { await port.answer(call).withoutSecrets }
}

extension Clean: ImagePort where Port == any ImagePort {
    func answer(_ task: ImageTask) async -> Answer { await port.answer(task).withoutSecrets }
}

extension Clean: ProbePort where Port == any ProbePort {
    func answer(_ probe: Probe) async -> Answer { await port.answer(probe).withoutSecrets }
}

extension Clean: NoticePort where Port == any NoticePort {
    func answer(_ order: NoticeOrder, at now: Timestamp) async -> Answer {
        await port.answer(order, at: now).withoutSecrets
    }
}

extension Clean: ApprovalPort where Port == any ApprovalPort {
    func answer(_ query: ApprovalQuery, at now: Timestamp) async -> Answer {
        await port.answer(query, at: now).withoutSecrets
    }
}

extension Clean: ElsewherePort where Port == any ElsewherePort {
    func answer(about app: AppName) async -> Answer { await port.answer(about: app).withoutSecrets }
}

extension RunPorts {
    /// The same ports, over which no secret reaches a run: what it never heard, no journal, ledger or notice can tell.
    var withoutSecrets: RunPorts {
        var ports = self
        ports.platform = Clean(port: platform)
        ports.source = Clean(port: source)
        ports.github = Clean(port: github)
        ports.images = Clean(port: images)
        ports.probes = Clean(port: probes)
        ports.notices = Clean(port: notices)
        ports.approvals = Clean(port: approvals)
        ports.elsewhere = Clean(port: elsewhere)
        return ports
    }
}
