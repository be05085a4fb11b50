// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// How long a deploy is expected to take, and from what that is known.
package struct FinishForecast: Hashable, Codable, Sendable {
    /// From where in a run the time is counted, to the end of its health verification.
    package enum Part: String, Hashable, Codable, Sendable {
        case window
        case deploy
    }

    /// What one verified deploy took, without the soak it had.
    package struct PastDeploy: Hashable, Codable, Sendable {
        package var fromWindow: Duration
        package var fromDeploy: Duration

        package init(fromWindow: Duration, fromDeploy: Duration) {
            self.fromWindow = fromWindow
            self.fromDeploy = fromDeploy
        }
    }

    /// The pipeline's last verified deploys, at most ``maxPastDeploys``.
    package var past: [PastDeploy]
    /// The soak that this one will have.
    package var soak: Duration
    /// What is taken where there is no past deploy.
    package var assumed: Duration
    /// Where ``assumed`` comes from, for people: `wait_timeout 5 m and 10 attempts, 10 s apart`.
    package var assumption: String

    /// How many past deploys are looked at.
    package static let maxPastDeploys = 10

    package init(past: [PastDeploy], soak: Duration, assumed: Duration, assumption: String) {
        self.past = past
        self.soak = soak
        self.assumed = assumed
        self.assumption = assumption
    }

    /// How long it will take from a part on, soak included: the longest of the past deploys, for one that is too long
    /// costs a wait, and one that is too short an unwatched release.
    package func expected(from part: Part) -> Duration {
        let durations = past.map { past in
            switch part {
            case .window: past.fromWindow
            case .deploy: past.fromDeploy
            }
        }
        return (durations.max() ?? assumed) + soak
    }

    /// Where the expectation comes from: `the longest of the last 7 deploys took 4 m 10 s from here, and 15 m of soak
    /// follow`.
    package func grounds(from part: Part) -> String {
        let work = (expected(from: part) - soak).words
        let known =
            switch past.count {
            case 0: "no deploy of this pipeline was verified yet, so \(work) are assumed (\(assumption))"
            case 1: "the one deploy before took \(work) from here"
            default: "the longest of the last \(past.count) deploys took \(work) from here"
            }
        return known + (soak > .zero ? ", and \(soak.words) of soak follow" : "")
    }
}
