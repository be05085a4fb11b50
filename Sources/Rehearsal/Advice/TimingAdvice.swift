// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import PipelineFiles
internal import Rollouts
internal import Stages
internal import Verification

/// Rules on times that do not fit each other.
extension AdviceContext {
    private var waitTimeout: Duration { subject.request.settings.waitTimeout }
    private var verify: VerifyPlan { subject.request.settings.verify }

    /// The longest that health is asked for: as many attempts as there are, and the last one's own time.
    private var verifySpan: Duration {
        verify.interval * max(0, verify.attempts - 1) + (verify.health?.timeout ?? .zero)
    }

    func graceBeyondWait() -> [Advice] {
        guard let check = longestGrace, check.grace >= waitTimeout else { return [] }
        let enough = check.grace + max(check.interval, .seconds(30))
        return [
            Advice(
                .graceBeyondWait, .blocks, at: place(of: check),
                "a check asks a machine of the group “\(check.group)” only \(check.graceText) after its start, and the "
                    + "rollout gives the machine up after \(Words.fileTime(waitTimeout)) (deploy.wait_timeout): "
                    + "none can become healthy in time",
                suggestion: "raise deploy.wait_timeout to \(Words.fileTime(enough)), or lower grace_period: "
                    + "a check that fails while the app starts harms nothing",
                evidence: seen(tally.runs - tally.count(.verified), "the deploy did not end verified"))
        ]
    }

    func waitShorterThanStart() -> [Advice] {
        guard let slowest = tally.starts.longest, slowest >= waitTimeout else { return [] }
        return [
            Advice(
                .waitShorterThanStart, .risk, at: place("deploy.wait_timeout"),
                "starts were rehearsed to take up to \(Words.time(slowest)), and wait_timeout gives a machine up after "
                    + Words.fileTime(waitTimeout),
                suggestion: "raise wait_timeout above \(Words.time(slowest)) if your app may ever start so slowly; "
                    + "it costs nothing where machines start in time",
                evidence: seen(.slowBoot, "with slow starts"))
        ]
    }

    func verifyShorterThanGrace() -> [Advice] {
        guard let check = longestGrace, verify.health != nil, check.grace > verifySpan else { return [] }
        let attempts = Int((check.grace.inSeconds / max(verify.interval.inSeconds, 0.001)).rounded(.up)) + 1
        return [
            Advice(
                .verifyShorterThanGrace, .risk, at: place("verify.attempts"),
                "verify asks for at most \(Words.fileTime(verifySpan)), and a machine that restarts meanwhile is not "
                    + "even asked by its own check for \(check.graceText) (grace_period)",
                suggestion: "raise attempts to \(attempts), or lower grace_period in \(place(of: check))",
                evidence: seen(tally.count(.rolledBack), "the release was rolled back"))
        ]
    }

    func verifyWithoutSlack() -> [Advice] {
        guard verify.health != nil, verify.attempts == verify.consecutive else { return [] }
        let key = pipeline.locations["verify.attempts"] == nil ? "verify.consecutive" : "verify.attempts"
        return [
            Advice(
                .verifyWithoutSlack, .risk, at: place(key),
                verify.attempts == 1
                    ? "health is asked once: one bad answer rolls a good release back"
                    : "all \(verify.attempts) of \(verify.attempts) answers must be good: one bad one rolls a good "
                        + "release back",
                suggestion: "raise attempts to at least \(verify.consecutive * 2 + 1)",
                evidence: seen(.flakyProbes, "with a bad answer now and then"))
        ]
    }

    func rollbackSlowerThanPromised() -> [Advice] {
        guard let within = subject.request.settings.rollbackWithin, subject.request.settings.rollsBackAutomatically,
            let largest = servingGroups.max(by: { $0.machines < $1.machines }), largest.machines > 0
        else { return [] }
        let floor = floor(over: largest.machines)
        let width = max(
            1, min(subject.request.settings.maxUnavailable.machines(of: largest.machines), largest.machines - floor))
        let waves = (largest.machines + width - 1) / width
        // A first check that comes while the app still starts fails, and the next one is an interval away.
        let each = (longestGrace?.grace ?? .zero) + (longestInterval?.interval ?? .zero)
        let probing = verify.interval * max(0, verify.consecutive - 1)
        let estimate = each * waves + probing
        let isMeasured = (tally.restores.percentile(0.95) ?? .zero) > within + verifySpan + verify.soak
        guard estimate > within || isMeasured else { return [] }
        let machines = "\(largest.machines) machine\(largest.machines == 1 ? "" : "s")"
        let message =
            estimate > within
            ? "rollback.within promises \(Words.fileTime(within)), and the checks alone may take "
                + "\(Words.fileTime(estimate)): \(machines), \(width) at a time, \(Words.fileTime(each)) each, and "
                + "\(Words.fileTime(probing)) of verify"
            : "rollback.within promises \(Words.fileTime(within)), and service came back later than that"
        var evidence = ""
        if let median = tally.restores.median, let late = tally.restores.percentile(0.95) {
            evidence = "time to restore: median \(Words.time(median)), p95 \(Words.time(late))"
        }
        return [
            Advice(
                .rollbackSlowerThanPromised, estimate > within ? .risk : .note, at: place("rollback.within"), message,
                suggestion: "raise max_unavailable, shorten the checks' interval and grace_period "
                    + "(\(placeOfChecks)), or promise more time",
                evidence: evidence)
        ]
    }

    /// An answer within this time can't be expected of a machine that has yet to start.
    private static let coldStart = Duration.seconds(3)

    func coldFirstProbe() -> [Advice] {
        guard let within = verify.health?.criteria.within, within < AdviceContext.coldStart,
            let group = flyToml.groups.first(where: mayAllSleep)
        else { return [] }
        return [
            Advice(
                .coldFirstProbe, .note,
                at: places.place(ofFirst: ["min_machines_running", "auto_stop_machines", "http_service"]),
                "all machines of the group “\(group)” may be stopped when verify asks, and an answer must come within "
                    + "\(Words.fileTime(within)): a start takes longer",
                suggestion: "set min_machines_running to 1, or raise verify.health.within",
                evidence: seen(tally.count(.rolledBack), "the release was rolled back"))
        ]
    }

    private func mayAllSleep(_ group: ProcessGroup) -> Bool {
        (flyToml.machineConfig(for: group).json["services"]?.array ?? []).contains { service in
            let stops = service["autostop"]
            let isOff = stops == nil || stops == .bool(false) || stops == "off"
            return !isOff && (service["min_machines_running"]?.integer ?? 0) == 0
        }
    }
}
