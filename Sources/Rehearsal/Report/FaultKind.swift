// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// A kind of trouble that a rehearsal can make, by the name that `--faults` takes.
package enum FaultKind: String, Hashable, Codable, Sendable, CaseIterable {
    /// A region has no room for a machine, for a while or for good.
    case capacity
    /// The registry does not answer, or does not have the image.
    case registry
    /// Machines take many times longer to start.
    case slowBoot = "slow-boot"
    /// The platform's API answers 5xx.
    case apiErrors = "api-5xx"
    /// The platform's API answers 429 and says when to come again.
    case rateLimits = "rate-limits"
    /// A call is applied and its answer lost, or lost on its way there, or arrives long after it was given up.
    case lostAnswers = "lost-answers"
    /// Lists show the fleet as it was a moment ago.
    case staleLists = "stale-lists"
    /// The runner dies at an instruction; the next run has the journal.
    case crash
    /// The runner dies and its journal with it.
    case lostJournal = "lost-journal"
    /// The process is cancelled: SIGINT or SIGTERM.
    case signal
    /// A lease ends while it is held, for its holder was stopped for longer than it lives.
    case leaseExpiry = "lease-expiry"
    /// A second run of the same app starts while the first is under way.
    case secondRun = "second-run"
    /// A host is unreachable, with the machines on it.
    case hostDown = "host-down"
    /// The new release does not work: it exits, never passes its checks, or answers unhealthy.
    case badRelease = "bad-release"
    /// The app's address answers badly for a moment though the release is good.
    case flakyProbes = "flaky-probes"

    /// What it does, in a few words for help and reports.
    package var summary: String {
        switch self {
        case .capacity: "a region has no room for a machine"
        case .registry: "the registry does not answer, or has not the image"
        case .slowBoot: "machines take many times longer to start"
        case .apiErrors: "the platform's API answers 5xx"
        case .rateLimits: "the platform's API answers 429"
        case .lostAnswers: "calls or their answers are lost, or come late"
        case .staleLists: "lists show the fleet as it was a moment ago"
        case .crash: "the runner dies, its journal stays"
        case .lostJournal: "the runner dies and its journal with it"
        case .signal: "the run is cancelled with SIGINT or SIGTERM"
        case .leaseExpiry: "a lease ends while its holder sleeps"
        case .secondRun: "a second run of the app starts"
        case .hostDown: "a host is unreachable, with its machines"
        case .badRelease: "the new release does not work"
        case .flakyProbes: "the app answers badly for a moment"
        }
    }
}
