// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

extension ModelCheck {
    private static let everything = Set(Fault.allCases)

    /// The searches of the release proof, small ones first.
    package static let all: [Configuration] = [
        Configuration("one change, two faults", .change, faults: everything, maxFaults: 2, splitsReads: true),
        Configuration(
            "one change leased ahead, two faults", .changeAhead, faults: everything, maxFaults: 2, splitsReads: true),
        Configuration("one creation, three faults", .creation, faults: everything, maxFaults: 3, splitsReads: true),
        Configuration(
            "two changes of one machine, one fault", .change, actors: 2, faults: everything, maxFaults: 1,
            startsApart: true, hasLongSteps: true),
        Configuration(
            "a rollout over two machines, one fault", .rollout, machines: 2, faults: everything, maxFaults: 1, floor: 1,
            hasLongSteps: true, isOrdered: true),
        Configuration(
            "a rollout over three machines, one fault", .rollout, machines: 3, faults: everything, maxFaults: 1,
            floor: 1, hasLongSteps: true, isOrdered: true),
        Configuration(
            "two rollouts over two machines, no fault", .rollout, machines: 2, actors: 2, faults: [], maxFaults: 0,
            hasLongSteps: true, isOrdered: true),
        Configuration(
            "a run over one machine, one fault, resumed", .run, faults: everything, maxFaults: 1, hasLongSteps: true,
            isOrdered: true, resumes: true),
        Configuration(
            "a run over two machines, one fault, resumed", .run, machines: 2, faults: everything, maxFaults: 1,
            floor: 1, hasLongSteps: true, isOrdered: true, resumes: true),
        Configuration(
            "a first deploy, one fault, resumed", .run, machines: 0, faults: everything, maxFaults: 1,
            hasLongSteps: true, isOrdered: true, resumes: true),
        Configuration(
            "two runs over two machines, no fault", .run, machines: 2, actors: 2, faults: [], maxFaults: 0,
            hasLongSteps: true, isOrdered: true),
        Configuration(
            "two runs over one machine, one crash, resumed", .run, actors: 2, faults: [.crash], maxFaults: 1,
            hasLongSteps: true, isOrdered: true, resumes: true),
        Configuration(
            "a crash and its cold recovery, one machine", .recovery, faults: [.crash], maxFaults: 1,
            hasLongSteps: true, isOrdered: true),
        Configuration(
            "a crash and its cold recovery, two machines", .recovery, machines: 2, faults: [.crash], maxFaults: 1,
            floor: 1, hasLongSteps: true, isOrdered: true),
    ]
}
