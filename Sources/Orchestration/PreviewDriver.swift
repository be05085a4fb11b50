// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model
package import Ports
package import Stages

/// Asks what a run would ask before its first change, and changes nothing: what would, ``RunPreview`` holds back.
package struct PreviewDriver: Sendable {
    private let ports: RunPorts
    private let clock: any DriverClock

    package init(ports: RunPorts, clock: any DriverClock) {
        self.ports = ports
        self.clock = clock
    }

    /// Drives a run to the brink of its first change, or to its refusal.
    ///
    /// - Parameter answers: what is known already.
    /// - Throws: ``IllegalEvent`` where the machine and its answers do not fit together; `CancellationError`.
    package func preview(_ request: RunRequest, knowing answers: [Effect: Answer] = [:]) async throws -> RunPreview {
        var preview = RunPreview(request, knowing: answers)
        var questions = try preview.begin(at: clock.now)
        try await withThrowingTaskGroup(of: (ActionID, Answer).self) { group in
            while true {
                for question in questions {
                    group.addTask { (question.id, await ports.perform(question.effect, clock)) }
                }
                guard let (action, answer) = try await group.next() else { return }
                questions = try preview.answer(action, answer, at: clock.now)
            }
        }
        return preview
    }
}
