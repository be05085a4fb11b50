// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model

@testable import Notifications

let start = Timestamp("2026-11-20T17:04:05.250Z")!

/// Reports as runs end with them, one of each kind.
enum Samples {
    static let image = "registry.fly.io/hotdash-production@sha256:" + String(repeating: "9f86d081", count: 8)

    private static func stages(_ states: [(StageName, StageState, Int, String)]) -> [StageReport] {
        var time = start
        return states.map { name, state, milliseconds, detail in
            guard milliseconds > 0 else { return StageReport(stage: name, state: state, detail: detail) }
            defer { time = time + .milliseconds(milliseconds) }
            return StageReport(
                stage: name, state: state, startedAt: time, finishedAt: time + .milliseconds(milliseconds),
                detail: detail)
        }
    }

    static let deployed = RunReport(
        run: "01KAH7Q3ZV5M8N2P4R6T8W0Y1B", kind: .deploy, pipeline: "production", app: "hotdash-production",
        outcome: .verified, exitCode: 0,
        headline: "v74 serves on 2 machines and stayed healthy for 15 minutes", actor: "dana",
        reason: "Approval queue: show the customer's last order", commit: "4f9d2c71e8a05b36d1c7f4e2a9b8c0d3e5f60718",
        subject: "Show the last order beside each approval", image: image, release: ReleaseNumber(74),
        previousRelease: ReleaseNumber(71), startedAt: start, finishedAt: start + .seconds(1092),
        stages: stages([
            (.preValidation, .passed, 2140, "5 checks green, staging healthy, way back to v71 proven"),
            (.window, .passed, 3, "Mon–Fri 09:00–17:00 America/Los_Angeles, closes in 6 h 55 min"),
            (.build, .passed, 48_300, "12.4 MB pushed, 3 of 5 layers were there"),
            (.deploy, .passed, 71_000, "rolling over 2 machines, never fewer than 1 serving"),
            (.verify, .passed, 905_000, "10 of 10 probes good, 6 smoke paths, soak 15 min"),
            (.rollback, .skipped, 0, ""), (.notify, .running, 0, ""),
        ]), healthStatus: "healthy: /health 200 in 84 ms", url: "https://hotdash-production.fly.dev",
        runURL: "https://github.com/hotdash/hotdash/actions/runs/17301239911")

    static let rolledBack = RunReport(
        run: "01KAH9B1XE4T7Y0A3D6G9K2N5Q", kind: .deploy, pipeline: "production", app: "hotdash-production",
        outcome: .rolledBack, exitCode: 10,
        headline: "v72 crash-looped; v71 is back and verified on both machines", actor: "dana",
        reason: "Faster approval queue", commit: "b7e1f0a2c3d4958676a5b4c3d2e1f00918273645",
        subject: "Load the approval queue in one query", image: image, release: ReleaseNumber(71),
        previousRelease: ReleaseNumber(72), startedAt: start, finishedAt: start + .seconds(238),
        stages: stages([
            (.preValidation, .passed, 1890, "5 checks green, staging healthy, way back to v71 proven"),
            (.window, .overridden, 2, "closed: Saturday"), (.build, .passed, 39_000, "11.9 MB pushed"),
            (.deploy, .failed, 31_000, "machine 3d8d9e6f (ord) exited with code 1 three times in 20 s"),
            (.verify, .waiting, 0, ""),
            (.rollback, .passed, 94_000, "both machines restored to v71, 10 of 10 probes good"),
        ]),
        overrides: [
            Override(
                gate: "window", who: "Kim (manager)", reason: "customers cannot approve orders",
                wouldHaveSaid: "closed until Monday 09:00 America/Los_Angeles")
        ], healthStatus: "healthy: /health 200 in 91 ms", timeToRestore: .seconds(107),
        nextSteps: ["Read the logs of the machine that exited, then fix forward.", "airboss show 01KAH9B1XE --logs"],
        url: "https://hotdash-production.fly.dev",
        runURL: "https://github.com/hotdash/hotdash/actions/runs/17301299999")

    static let needsHuman: RunReport = {
        var report = rolledBack
        report.run = "01KAHC7M3P6S9V2X5Z8B1D4F7H"
        report.outcome = .needsHuman
        report.exitCode = 11
        report.headline = "v72 failed and the rollback to v71 could not be finished: one machine's host is unreachable"
        report.stages[5].state = .failed
        report.stages[5].detail = "machine 918570ee (ord): 408 after 5 attempts (fly-request-id 01KAHC8Z-ord)"
        report.release = nil
        report.timeToRestore = nil
        report.healthStatus = "1 of 2 machines healthy"
        report.divergence = [
            "machine 3d8d9e6f (ord) runs v71, started, healthy",
            "machine 918570ee (ord) runs v72, its host is unreachable, lease held until 17:12:40 UTC",
        ]
        report.nextSteps = [
            "Traffic is served by one machine; wait for the host or replace the machine.",
            "fly machine status 918570ee04de98 --app hotdash-production",
            "airboss recover production",
        ]
        return report
    }()

    static let byHand: RunReport = {
        var report = deployed
        report.run = "01KAHE5T8W1Z4C7F0J3M6Q9S2V"
        report.kind = .rollback
        report.headline = "v71 is back and verified on 2 machines, in place of v74"
        report.reason = "Orders show the wrong customer since v74"
        report.release = ReleaseNumber(71)
        report.previousRelease = ReleaseNumber(74)
        report.finishedAt = start + .seconds(83)
        report.timeToRestore = .seconds(83)
        report.stages = stages([
            (.preValidation, .passed, 900, ""), (.rollback, .passed, 82_000, "2 machines restored"),
        ])
        return report
    }()

    static let refused: RunReport = {
        var report = deployed
        report.run = "01KAHG2B5E8H1L4P7S0V3Y6A9D"
        report.outcome = .refused
        report.headline = "The deployment window is closed; it opens on Monday at 09:00 America/Los_Angeles"
        report.stages = stages([
            (.preValidation, .passed, 1500, ""), (.window, .refused, 2, "closed: Saturday"), (.build, .waiting, 0, ""),
            (.deploy, .waiting, 0, ""), (.verify, .waiting, 0, ""),
        ])
        report.release = nil
        report.previousRelease = ReleaseNumber(71)
        report.healthStatus = ""
        report.finishedAt = start + .milliseconds(1502)
        return report
    }()

    /// Everything somebody else writes, written by somebody who means harm.
    static let hostile: RunReport = {
        var report = rolledBack
        report.subject = "<script>alert(1)</script> **bold** [x](https://evil.example) | `code` @channel <!here> &amp;"
        report.reason = "::set-output name=x::y\r\n::error::boo ##[add-mask]x \u{1B}[31mred\u{1B}[0m \u{202E}txet"
        report.actor = "\"><img src=x onerror=alert(1)>'"
        report.headline = "line one\n## line two\u{2028}<b\u{338}> <\u{338}i> \"\u{301} onload=x"
        report.stages[0].detail = "| cell | ![x](y) <!channel> {{headline}} {{{run}}}"
        report.overrides[0].who = "*_~ <@U123> #12 www.evil.example"
        report.nextSteps = ["airboss show `rm -rf /` <x>", "::warning::do this"]
        report.warnings = ["=?utf-8?Q?x?= \u{0}\u{7}\u{8}bell"]
        report.runURL = "javascript:alert(1)"
        report.url = "https://user:hunter2@host/\"><b>"
        return report
    }()

    static let windowClosed: RunReport = {
        var report = refused
        report.run = "01KAHJ5C8F1I4M7P0S3V6Y9B2E"
        report.opening = WindowOpening(
            rule: "outside Mon-Fri 09:00-17:00", opensAt: Timestamp("2026-11-23T17:00:00Z"),
            words: "Mon 2026-11-23 09:00 PST")
        report.nextSteps = ["wait for it, or in an emergency: --emergency --approved-by WHO"]
        return report
    }()

    static let approvalWanted: RunReport = {
        var report = refused
        report.run = "01KAHM8F1I4L7P0S3V6Y9B2E5H"
        report.headline = "approvals: 0 of 1 approvals of 4f9d2c71e8"
        report.stages = stages([
            (.preValidation, .refused, 1500, "approvals: 0 of 1 approvals of 4f9d2c71e8"), (.window, .waiting, 0, ""),
        ])
        report.approval = ApprovalWanted(
            needed: 1, found: "0 of 1 approvals of 4f9d2c71e8",
            how: ["have somebody approve it: airboss approve production --commit 4f9d2c71e8"])
        report.nextSteps = report.approval?.how ?? []
        return report
    }()

    /// A run that waits for people.
    static let waiting: RunReport = {
        var report = approvalWanted
        report.approval?.until = start + .seconds(3600)
        report.headline = "waits for approval: 0 of 1 approvals of 4f9d2c71e8"
        return report
    }()

    static func maintenance(_ deed: MaintenanceNotice.Deed) -> MaintenanceNotice {
        MaintenanceNotice(
            deed: deed, id: "01KAHP1H4K7N0R3T6W9Z2C5E8G", pipeline: "production", app: "hotdash-production",
            from: Timestamp("2026-12-06T06:00:00Z")!, to: Timestamp("2026-12-06T07:30:00Z")!,
            fromWords: "Sat 2026-12-05 22:00 PST", toWords: "Sat 2026-12-05 23:30 PST",
            reason: "Move to the new database <fast> & quiet", actor: "dana", at: start, opensWindow: true)
    }

    static let all = [
        deployed, rolledBack, needsHuman, byHand, refused, hostile, windowClosed, approvalWanted, waiting,
    ]

    static let subjects: [(name: String, subject: NoticeOrder.Subject)] =
        zip(
            [
                "deployed", "rolled-back", "needs-human", "by-hand", "refused", "hostile", "window-closed",
                "approval-wanted", "waiting",
            ], all.map { .run(report: $0) }
        ).map { ($0, $1) }
        + MaintenanceNotice.Deed.allCases.map { ("maintenance-\($0)", .maintenance(notice: maintenance($0))) }
}
