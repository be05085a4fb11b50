// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What can be asked of the platform; each is limited on its own.
package enum APIAction: String, Hashable, Sendable, CaseIterable {
    case getApp, deleteApp
    case listMachines, getMachine, createMachine, updateMachine, destroyMachine
    case startMachine, stopMachine, restartMachine, cordonMachine, uncordonMachine, waitMachine, listVersions
    /// Acquiring and refreshing are one endpoint, and so one action.
    case acquireLease, getLease, releaseLease
    case getMetadata, setMetadata, patchMetadata, deleteMetadata
    case listSecrets, listRegions, simulatePlacement
    case createRelease, updateRelease, listReleases, currentRelease, readLogs

    /// Fly's limits per action and identifier. Source: Fly's Machines API documentation, "Rate limits".
    package var rateLimit: RateLimit {
        switch self {
        case .getMachine: RateLimit(interval: .milliseconds(200), burst: 10)
        case .deleteApp: RateLimit(interval: .milliseconds(600), burst: 3)
        case .getApp, .listMachines, .createMachine, .updateMachine, .destroyMachine, .startMachine, .stopMachine,
            .restartMachine, .cordonMachine, .uncordonMachine, .waitMachine, .listVersions, .acquireLease,
            .getLease, .releaseLease, .getMetadata, .setMetadata, .patchMetadata, .deleteMetadata, .listSecrets,
            .listRegions,
            .simulatePlacement, .createRelease, .updateRelease, .listReleases, .currentRelease, .readLogs:
            RateLimit(interval: .seconds(1), burst: 3)
        }
    }
}
