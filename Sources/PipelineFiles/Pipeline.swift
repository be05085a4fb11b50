// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// How one app in one environment is deployed: a pipeline file, decoded, with every default filled in.
package struct Pipeline: Hashable, Codable, Sendable {
    /// The file's name without its extension.
    package var name: String
    /// The file, as it was given.
    package var path: String
    package var app: AppName
    /// The path of fly.toml, resolved against the pipeline file's folder.
    package var flyToml: String
    package var source: Source
    package var github: GitHub
    package var gates: Gates
    /// Nil where deployments may start at any time.
    package var window: Window?
    package var build: Build
    package var deploy: Deploy
    package var verify: Verify
    package var rollback: Rollback
    package var notify: Notify
    package var state: State
    /// What the file asks for and this version cannot do; each says what to do instead.
    package var unsupportedFeatures: [Diagnostic]
    /// Things that are allowed and probably not meant.
    package var warnings: [Diagnostic]
    /// Where each value stands, by its path: `deploy.serving_floor`, `verify.smoke[0].path`.
    package var locations: [String: SourceLocation]

    package struct Source: Hashable, Codable, Sendable {
        /// Relative to the pipeline file's folder.
        package var repository: EnvironmentText
        /// The branch the commit must be on; nil for any.
        package var branch: EnvironmentText?
    }

    package struct GitHub: Hashable, Codable, Sendable {
        /// `owner/name`; nil: the job's own, or the one that the source's remote `origin` names.
        package var repository: EnvironmentText?
    }

    package struct Gates: Hashable, Codable, Sendable {
        package var cleanWorktree: Bool
        package var checks: [String]
        /// How long checks that are under way are waited for.
        package var waitForChecks: Duration
        /// Conclusions of a check that count as passed.
        package var checksAccept: [String]
        /// Names of pipelines, or URLs.
        package var healthy: [EnvironmentText]
        package var approvals: Int
        /// Whether the commit's author counts among those who approve.
        package var authorMayApprove: Bool
        /// The kinds of evidence that count.
        package var approvalsAccept: [ApprovalKind]
        /// GitHub environments whose reviewers count.
        package var approvalEnvironments: [String]
        /// How long missing approvals are waited for.
        package var waitForApprovals: Duration
        /// How long after it was given an approval counts at most.
        package var approvalsExpire: Duration
        package var secrets: [String]
    }

    /// The words of the `window` section, for whoever knows zones and calendars.
    package struct Window: Hashable, Codable, Sendable {
        package var timeZone: Located<String>
        /// Empty: at any time that is not closed.
        package var open: [Located<String>]
        /// Freezes.
        package var closed: [Closed]
        package var highTraffic: [Closed]
        /// Calendars, dates with a name, and paths of files relative to the pipeline file's folder.
        package var holidays: [Located<String>]
        /// Whether a deployment must be over before the close.
        package var mustFinish: Bool
        /// Nil where nothing opens what is closed.
        package var maintenance: Maintenance?

        package struct Closed: Hashable, Codable, Sendable {
            package enum Times: Hashable, Codable, Sendable {
                case dates(from: Located<String>, to: Located<String>)
                case every(days: Located<String>)
            }
            package var times: Times
            /// Nil for the window's own.
            package var timeZone: Located<String>?
            /// Empty for a freeze.
            package var name: String
            package var reason: String

            /// Where the times begin in the file.
            package var location: SourceLocation {
                switch times {
                case .dates(let from, _): from.location
                case .every(let days): days.location
                }
            }
        }

        package struct Maintenance: Hashable, Codable, Sendable {
            package var notice: Duration
            package var longest: Duration
        }
    }

    package enum Build: Hashable, Codable, Sendable {
        case image(reference: EnvironmentText)
        case layers(recipe: Layers)
        case dockerfile(recipe: Dockerfile)
        case command(recipe: Command)
    }

    package struct Layers: Hashable, Codable, Sendable {
        package enum Base: Hashable, Codable, Sendable {
            case scratch
            case image(reference: EnvironmentText)
        }

        package struct Copy: Hashable, Codable, Sendable {
            /// A path in the commit's tree.
            package var from: String
            /// An absolute path in the image.
            package var to: String
            /// Permission bits; nil keeps those of the commit.
            package var mode: Int?
            package var location: SourceLocation
        }

        package var base: Base
        package var copy: [Copy]
        package var entrypoint: [EnvironmentText]
        package var cmd: [EnvironmentText]
        package var env: [String: EnvironmentText]
        package var workdir: String?
        package var user: String?
        package var labels: [String: EnvironmentText]
        package var ports: [Int]
    }

    package struct Dockerfile: Hashable, Codable, Sendable {
        package var path: String
        package var context: String?
        package var target: String?
        package var args: [String: EnvironmentText]
    }

    package struct Command: Hashable, Codable, Sendable {
        package var run: [EnvironmentText]
        package var image: EnvironmentText
    }

    package struct Deploy: Hashable, Codable, Sendable {
        package enum Strategy: String, Hashable, Codable, Sendable {
            case rolling
            case canary
            case bluegreen
            case immediate
        }

        package enum MaxUnavailable: Hashable, Codable, Sendable {
            case count(machines: Int)
            /// Above 0 and below 1.
            case fraction(ofFleet: Double)
        }

        package struct Machines: Hashable, Codable, Sendable {
            /// The count of every group that is not named.
            package var everyGroup: Int?
            package var groups: [ProcessGroup: Int]

            /// The count the file states for a group; nil where it states none.
            package func count(for group: ProcessGroup) -> Int? { groups[group] ?? everyGroup }
        }

        package var strategy: Strategy
        package var maxUnavailable: MaxUnavailable
        /// Nil: 1, or 0 for a fleet of one machine.
        package var servingFloor: Int?
        package var waitTimeout: Duration
        package var machines: Machines
    }

    package struct Verify: Hashable, Codable, Sendable {
        package struct Health: Hashable, Codable, Sendable {
            package var path: String
            package var status: [Int]
            /// Fields of the JSON body, and the values of each that mean healthy.
            package var body: [String: [JSONValue]]
            package var timeout: Duration
            /// The longest an answer may take and still count as healthy.
            package var within: Duration
        }

        package struct Smoke: Hashable, Codable, Sendable {
            package var path: String
            package var status: [Int]
            package var within: Duration?
        }

        /// Nil: the app's address on fly.dev, where fly.toml gives it one.
        package var url: EnvironmentText?
        package var health: Health
        package var attempts: Int
        package var interval: Duration
        package var consecutive: Int
        package var smoke: [Smoke]
        package var soak: Duration
    }

    package struct Rollback: Hashable, Codable, Sendable {
        package var automatic: Bool
        package var within: Duration
        /// Folders of the commit's tree.
        package var migrations: [String]
    }

    package struct Notify: Hashable, Codable, Sendable {
        package struct Email: Hashable, Codable, Sendable {
            package var to: [EnvironmentText]
            package var smtp: EnvironmentText
            package var from: EnvironmentText?
        }

        /// A receiver of signed JSON.
        package struct Webhook: Hashable, Codable, Sendable {
            package var url: EnvironmentText
            package var secret: EnvironmentText
        }

        /// What is a secret in these users' texts, and what only looks like one.
        package struct Redact: Hashable, Codable, Sendable {
            /// Regular expressions, each of which compiles and matches no empty text.
            package var patterns: [String]
            /// Words that stay.
            package var allow: [String]
        }

        package struct GitHub: Hashable, Codable, Sendable {
            package var deployment: Bool
            package var issueOnFailure: Bool
            /// Accounts that an incident issue is assigned to.
            package var assignees: [String]
        }

        package var email: Email?
        /// The address of a webhook that understands Slack's messages.
        package var slack: EnvironmentText?
        package var webhook: Webhook?
        package var github: GitHub
        package var redact: Redact
    }

    package struct State: Hashable, Codable, Sendable {
        package var url: EnvironmentText
        /// Whether the file states it, or it is the default.
        package var isStated: Bool

        package static let defaultURL = "sqlite:.airboss/state.sqlite"
    }

    /// Where a value stands, by its path; the file's start where it is not in the file.
    package func location(of key: String) -> SourceLocation {
        locations[key] ?? SourceLocation(path: path, line: 1, column: 1)
    }

    /// A path of the file made relative to where this process is, not to the pipeline file.
    package func resolve(path other: String) -> String { FilePaths.join(FilePaths.folder(of: path), other) }
}
