// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
internal import PipelineFiles
package import Stages

/// What is rehearsed: a run as its pipeline asks for it, on a fleet like the real one, and what may go wrong. The
/// answers of git, the registry and the window are the simulation's.
package struct RehearsalSubject: Hashable, Codable, Sendable {
    /// The deploy that every seed tries. Its run id is the simulation's to give.
    package var request: RunRequest
    /// Machines of each process group before the deploy; an app without any is a first deploy.
    package var fleet: [ProcessGroup: Int]
    package var faults: Set<FaultKind>

    package init(request: RunRequest, fleet: [ProcessGroup: Int], faults: Set<FaultKind>) {
        self.request = request
        self.fleet = fleet
        self.faults = faults
    }

    /// Machines that take traffic.
    package var servingMachines: Int {
        fleet.reduce(0) { $0 + (request.settings.flyToml.hasServices($1.key) ? $1.value : 0) }
    }
}
