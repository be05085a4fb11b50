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
            hasLongSteps: true, isOrdered: true, resumes: true, isReduced: true, isDeep: true),
        Configuration(
            "a crash and its cold recovery, one machine", .recovery, faults: [.crash], maxFaults: 1,
            hasLongSteps: true, isOrdered: true),
        Configuration(
            "a crash and its cold recovery, two machines", .recovery, machines: 2, faults: [.crash], maxFaults: 1,
            floor: 1, hasLongSteps: true, isOrdered: true),
    ]

    /// What takes long, and little memory: two participants at once on up to three machines, with a fault. One search
    /// for each kind of fault sees what one with a single fault of any kind would, and holds less.
    package static let large: [Configuration] =
        [
            Configuration(
                "two rollouts over three machines, no fault", .rollout, machines: 3, actors: 2, faults: [],
                maxFaults: 0, hasLongSteps: true, isOrdered: true, isReduced: true, isDeep: true),
            Configuration(
                "two runs over three machines, no fault", .run, machines: 3, actors: 2, faults: [], maxFaults: 0,
                floor: 1, hasLongSteps: true, isOrdered: true, isReduced: true, isDeep: true),
            Configuration(
                "two changes of one machine, two faults", .change, actors: 2, faults: everything, maxFaults: 2,
                startsApart: true, hasLongSteps: true, isOrdered: true, isDeep: true),
        ]
        + pairs(
            "rollouts", .rollout,
            [(2, .slowAnswer), (2, .sleep), (3, .staleList), (3, .crash), (3, .duplicate)])
        + pairs(
            "runs", .run,
            [
                (1, .slowAnswer), (1, .sleep), (2, .crash), (2, .duplicate), (3, .staleList), (3, .failedStart),
                (3, .unreachable),
            ])

    /// Two participants of a kind at once, with one fault.
    private static func pairs(
        _ name: String, _ subject: Subject, _ cases: [(machines: Int, fault: Fault)]
    ) -> [Configuration] {
        cases.map { machines, fault in
            let fleet = ["one machine", "two machines", "three machines"][machines - 1]
            return Configuration(
                "two \(name) over \(fleet), \(text(of: fault))", subject, machines: machines, actors: 2,
                faults: [fault], maxFaults: 1, floor: subject == .run && machines > 1 ? 1 : nil, hasLongSteps: true,
                isOrdered: true, isReduced: true, isDeep: true)
        }
    }

    /// A fault as a search's name tells it.
    private static func text(of fault: Fault) -> String {
        switch fault {
        case .crash: "one crash"
        case .slowAnswer: "one late or lost answer"
        case .duplicate: "one double delivery"
        case .staleList: "one stale list"
        case .sleep: "one sleep past the leases"
        case .unreachable: "one call that is not sent"
        case .slowStart: "one slow start"
        case .failedStart: "one failed start"
        case .interrupt: "one signal"
        }
    }
}
