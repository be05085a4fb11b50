// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import Stages

/// A run as its journal leads to it: the events it was given, applied again.
package enum RunReplay {
    /// Applies the events of one run in their order.
    ///
    /// - Throws: ``IllegalEvent`` where an event can't follow those before it: the journal is damaged, or was written
    ///   by an Airboss that decided otherwise.
    package static func machine(
        _ request: RunRequest, events: some Sequence<RunEvent>
    ) throws(IllegalEvent) -> RunMachine {
        var machine = RunMachine(request)
        for event in events { _ = try machine.apply(event) }
        return machine
    }
}
