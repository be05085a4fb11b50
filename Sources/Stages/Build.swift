// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The third stage: an image in the registry, named by its digest.
package struct Build: Hashable, Codable, Sendable {
    package enum State: Hashable, Codable, Sendable {
        /// Next: `building`, `refused`, `stopped`.
        case waiting
        /// Next: `built`, `refused`, `stopped`.
        case building(action: ActionID)
        case built(image: BuiltImage)
        case refused(refusal: Refusal)
        case stopped
    }

    package private(set) var state: State = .waiting

    package init() {}

    package func awaits(_ action: ActionID) -> Bool {
        state == .building(action: action)
    }

    package mutating func begin(_ build: RunRequest.Build, of commit: Commit?, _ agenda: inout Agenda) {
        switch (build, commit) {
        case (.image(let reference), _):
            state = .building(action: agenda.perform(.image(task: .resolve(reference: reference))))
        case (.promoted(let reference), _):
            state = .building(action: agenda.perform(.image(task: .copy(reference: reference))))
        case (.layers, let commit?):
            // The tag only helps people to find the image; everything else goes by its digest.
            let tag = "deployment-" + commit.id.short
            state = .building(action: agenda.perform(.image(task: .build(commit: commit.id, tag: tag))))
        case (.layers, nil):
            state = .refused(refusal: Refusal(.refused, "there is no commit to build from"))
        }
    }

    package mutating func stop(_ agenda: inout Agenda) {
        switch state {
        case .waiting: state = .stopped
        case .building(let action):
            agenda.performAndForget(.cancel(action: action))
            state = .stopped
        case .built, .refused, .stopped: break
        }
    }

    package mutating func handle(_ action: ActionID, _ answer: Answer) throws(IllegalEvent) {
        guard awaits(action) else { throw IllegalEvent(state: "\(state)", event: "an answer to \(action)") }
        switch answer {
        case .image(let image):
            state = .built(image: image)
        case .failed(let failure):
            let outcome: RunOutcome = failure.code == .unavailable ? .unavailable : .refused
            let hints = failure.hint.isEmpty ? [] : [failure.hint]
            state = .refused(refusal: Refusal(outcome, failure.text, hints: hints))
        default:
            throw IllegalEvent(state: "\(state)", event: "\(answer)")
        }
    }
}
