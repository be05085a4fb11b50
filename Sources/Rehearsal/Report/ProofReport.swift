// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What was tried to prove that nothing is lost, and what came of it: the tables of `docs/reliability.md`.
package struct ProofReport: Hashable, Codable, Sendable {
    /// Deaths of one scenario, with one kind of recovery.
    package struct Kills: Hashable, Codable, Sendable {
        package var scenario: String
        package var kind: Recovery.Kind
        package var singles: KillTally
        package var pairs: KillTally

        package init(scenario: String, kind: Recovery.Kind, singles: KillTally, pairs: KillTally) {
            self.scenario = scenario
            self.kind = kind
            self.singles = singles
            self.pairs = pairs
        }
    }

    package var kills: [Kills]
    /// Every pair was tried where this is 1, every so many-th otherwise.
    package var pairStride: Int
    package var checks: [ModelCheckResult]
    package var seeds: RehearsalReport.Seeds
    package var tally: RehearsalTally
    package var wasInterrupted: Bool
    /// Wall-clock time of each part.
    package var times: Times
    package var jobs: Int

    package struct Times: Hashable, Codable, Sendable {
        package var kills: Duration
        package var checks: Duration
        package var seeds: Duration

        package init(kills: Duration = .zero, checks: Duration = .zero, seeds: Duration = .zero) {
            self.kills = kills
            self.checks = checks
            self.seeds = seeds
        }
    }

    package init(
        kills: [Kills], pairStride: Int, checks: [ModelCheckResult], seeds: RehearsalReport.Seeds,
        tally: RehearsalTally, wasInterrupted: Bool, times: Times, jobs: Int
    ) {
        self.kills = kills
        self.pairStride = pairStride
        self.checks = checks
        self.seeds = seeds
        self.tally = tally
        self.wasInterrupted = wasInterrupted
        self.times = times
        self.jobs = jobs
    }

    /// Violations of all parts together.
    package var violations: Int {
        kills.reduce(0) { $0 + $1.singles.violated + $1.pairs.violated } + checks.count { $0.violation != nil }
            + tally.violatedRuns
    }

    /// Whether nothing was violated and every search saw everything.
    package var holds: Bool { violations == 0 && checks.allSatisfy(\.isExhausted) }

    private func total(_ part: (Kills) -> Int) -> Int { kills.reduce(0) { $0 + part($1) } }

    // MARK: - For documents

    /// The tables as Markdown, and below them each violation with what shows it again.
    package var markdown: String {
        [killTable, checkTable, seedTable, findings].filter { !$0.isEmpty }.joined(separator: "\n")
    }

    private var killTable: String {
        guard !kills.isEmpty else { return "" }
        var text = """
            | scenario | single kills, warm | cold | pairs, warm | cold | violations |
            |---|--:|--:|--:|--:|--:|

            """
        var names: [String] = []
        for row in kills where !names.contains(row.scenario) { names.append(row.scenario) }
        for name in names {
            let (warm, cold) = (row(name, .warm), row(name, .cold))
            let broken = [warm, cold].compactMap(\.self).reduce(0) { $0 + $1.singles.violated + $1.pairs.violated }
            text += """
                | \(name) | \(tried(warm?.singles)) | \(tried(cold?.singles)) | \(tried(warm?.pairs)) | \
                \(tried(cold?.pairs)) | \(Words.number(broken)) |

                """
        }
        func sum(_ kind: Recovery.Kind, _ part: (Kills) -> Int) -> String {
            Words.number(kills.reduce(0) { $0 + ($1.kind == kind ? part($1) : 0) })
        }
        let broken = total { $0.singles.violated + $0.pairs.violated }
        text += """
            | **total** | \(sum(.warm) { $0.singles.tried }) | \(sum(.cold) { $0.singles.tried }) | \
            \(sum(.warm) { $0.pairs.tried }) | \(sum(.cold) { $0.pairs.tried }) | **\(Words.number(broken))** |

            """
        let all = total { $0.singles.tried + $0.pairs.tried }
        let which = pairStride == 1 ? "All ordered pairs" : "Every \(pairStride)th ordered pair"
        return text
            + "\n\(which); \(Words.number(all)) rehearsals in \(Words.time(times.kills)) on \(threads)\(early).\n"
    }

    private func row(_ name: String, _ kind: Recovery.Kind) -> Kills? {
        kills.first { $0.scenario == name && $0.kind == kind }
    }

    private func tried(_ tally: KillTally?) -> String { tally.map { Words.number($0.tried) } ?? "–" }
    private var threads: String { jobs == 1 ? "1 thread" : "\(jobs) threads" }
    private var early: String { wasInterrupted ? ", ended early by a signal" : "" }

    private var checkTable: String {
        guard !checks.isEmpty else { return "" }
        var text = """
            | model check | situations | transitions | longest way | seen whole | violations |
            |---|--:|--:|--:|---|--:|

            """
        for check in checks {
            text += """
                | \(check.name) | \(Words.number(check.states)) | \(Words.number(check.transitions)) | \
                \(check.longestPath.map(Words.number) ?? "–") | \(check.isExhausted ? "yes" : "no") | \
                \(check.violation == nil ? 0 : 1) |

                """
        }
        let states = checks.reduce(0) { $0 + $1.states }
        let broken = checks.count { $0.violation != nil }
        text += """
            | **total** | \(Words.number(states)) | \(Words.number(checks.reduce(0) { $0 + $1.transitions })) | | | \
            **\(broken)** |

            """
        return text + "\nIn \(Words.time(times.checks)).\n"
    }

    private var seedTable: String {
        guard tally.runs > 0 else { return "" }
        let rate = times.seeds > .zero ? Int(Double(tally.runs) / times.seeds.inSeconds) : 0
        let counts = RunOutcome.allCases.map { "\(Words.outcome($0)) \(Words.number(tally.count($0)))" }
        return """
            | random seeds | recoveries | calls of the platform's API | a second, \(threads) | violations |
            |--:|--:|--:|--:|--:|
            | \(Words.number(tally.runs)) | \(Words.number(tally.recoveries)) | \(Words.number(tally.apiCalls)) | \
            \(Words.number(rate)) | **\(Words.number(tally.violatedRuns))** |

            The first seed is \(seeds.first). They ended: \(counts.joined(separator: ", ")).

            """
    }

    /// Deaths told of one scenario; its table counts all.
    private static let maxDeaths = 3

    private var findings: String {
        var lines: [String] = []
        for row in kills {
            for finding in (row.singles.findings + row.pairs.findings).prefix(ProofReport.maxDeaths) {
                let deaths = finding.plan.disturbances.map(ProofReport.describe).joined(separator: ", then ")
                lines.append("\(finding.scenario), \(row.kind.rawValue) recovery, \(deaths):")
                lines += finding.violations.map { "    \($0.name) at \(Words.clock($0.at)): \($0.message)" }
            }
        }
        for check in checks {
            if let story = check.violation { lines.append("model check “\(check.name)”:\n\(story.text)") }
        }
        for (name, violation) in tally.violations.sorted(by: { $0.key < $1.key }) {
            lines.append("\(name) in \(Words.seeds(violation.runs)): \(violation.message)")
            for seed in violation.seeds { lines.append("    airboss rehearse --proof --seed \(seed)") }
        }
        return lines.isEmpty ? "" : "Violations:\n\n" + lines.map { $0 + "\n" }.joined()
    }

    private static func describe(_ disturbance: Disturbance) -> String {
        guard case .kill(let process, let effect, let point, _) = disturbance else { return "\(disturbance)" }
        return "process \(process) killed at effect \(effect), \(point.rawValue)"
    }

    // MARK: - For programs

    /// The same as a JSON document.
    package var json: JSONValue {
        [
            "schema": .integer(Int64(RehearsalReport.schema)),
            "violations": ReportJSON.count(violations),
            "interrupted": .bool(wasInterrupted),
            "jobs": ReportJSON.count(jobs),
            "pair_stride": ReportJSON.count(pairStride),
            "kills": .array(
                kills.map {
                    [
                        "scenario": .string($0.scenario), "recovery": .string($0.kind.rawValue),
                        "singles": ProofReport.json($0.singles), "pairs": ProofReport.json($0.pairs),
                    ]
                }),
            "model_checks": .array(
                checks.map {
                    [
                        "name": .string($0.name), "states": ReportJSON.count($0.states),
                        "transitions": ReportJSON.count($0.transitions), "exhausted": .bool($0.isExhausted),
                        "violations": ReportJSON.count($0.violation == nil ? 0 : 1),
                    ]
                }),
            "seeds": [
                "first": .integer(Int64(bitPattern: seeds.first)), "asked": ReportJSON.count(seeds.asked),
                "run": ReportJSON.count(tally.runs), "violations": ReportJSON.count(tally.violatedRuns),
                "recoveries": ReportJSON.count(tally.recoveries),
                "outcomes": .object(ReportJSON.outcomes(tally.outcomes)),
                "violated": .array(
                    tally.violations.values.flatMap(\.seeds).sorted().map { .integer(Int64(bitPattern: $0)) }),
            ],
            "took_ms": [
                "kills": ReportJSON.time(times.kills), "model_checks": ReportJSON.time(times.checks),
                "seeds": ReportJSON.time(times.seeds),
            ],
        ]
    }

    private static func json(_ tally: KillTally) -> JSONValue {
        [
            "tried": ReportJSON.count(tally.tried), "violations": ReportJSON.count(tally.violated),
            "outcomes": .object(ReportJSON.outcomes(tally.outcomes)),
        ]
    }
}
