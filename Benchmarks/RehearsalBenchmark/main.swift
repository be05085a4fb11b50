// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Glibc
internal import Model
internal import Rehearsal

/// Plays rolling deploys of three machines in virtual time, one after the other on one thread, each whole: the real run
/// machine, the simulated platform behind calls that take time, and every check of `airboss rehearse --proof` after
/// every event. Each round has seeds of its own, which draw the latencies; nothing goes wrong.
///
/// usage: rehearsal-benchmark [ROUNDS [DEPLOYS]]
let arguments = CommandLine.arguments
guard let rounds = Int(arguments.count > 1 ? arguments[1] : "11"), rounds > 0,
    let deploys = Int(arguments.count > 2 ? arguments[2] : "1000"), deploys > 0
else {
    print("usage: rehearsal-benchmark [ROUNDS [DEPLOYS]]")
    exit(64)
}

/// The time that the processor spent on this process, which does not depend on what else the machine does.
func processorTime() -> Duration {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return .seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + .microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
}

let scenario = PreparedScenario(.rolling)
precondition(scenario.scenario.seats.count == 3)
var perSecond: [Double] = []
var perProcessorSecond: [Double] = []
var (steps, calls) = (0, 0)
for round in 0..<rounds {
    let processorBefore = processorTime()
    let began = ContinuousClock.now
    for number in 0..<deploys {
        let plan = RehearsalPlan(seed: UInt64(round * deploys + number), fastestCall: 5, slowestCall: 60)
        let run = scenario.rehearse(plan).run
        precondition(run.outcome == .verified && run.violations.isEmpty, "\(run.headline): \(run.violations)")
        steps += run.steps
        calls += run.apiCalls
    }
    perSecond.append(Double(deploys) / (ContinuousClock.now - began).inSeconds)
    perProcessorSecond.append(Double(deploys) / (processorTime() - processorBefore).inSeconds)
}
perSecond.sort()
perProcessorSecond.sort()

func range(_ rates: [Double]) -> String {
    "median \(Int(rates[rounds / 2])), \(Int(rates[0])) to \(Int(rates[rounds - 1]))"
}
let all = rounds * deploys
print("rolling deploys of three machines: \(all), \(steps / all) events and \(calls / all) calls each; all verified")
print("a second of the clock, one thread, \(rounds) rounds: \(range(perSecond))")
print("a second of the processor: \(range(perProcessorSecond))")
