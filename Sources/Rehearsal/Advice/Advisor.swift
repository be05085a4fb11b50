// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package enum Advisor {
    /// All advice on a pipeline: what blocks first, then by the order of the rules.
    package static func advise(_ context: AdviceContext) -> [Advice] {
        let all = AdviceRule.allCases.flatMap { judge($0, context) }
        return Advice.Weight.allCases.flatMap { weight in all.filter { $0.weight == weight } }
    }

    private static func judge(_ rule: AdviceRule, _ context: AdviceContext) -> [Advice] {
        switch rule {
        case .floorNeverRolls: context.floorNeverRolls()
        case .floorWithoutReserve: context.floorWithoutReserve()
        case .floorOfZero: context.floorOfZero()
        case .singleMachine: context.singleMachine()
        case .tooManyAtOnce: context.tooManyAtOnce()
        case .volumesCannotMove: context.volumesCannotMove()
        case .graceBeyondWait: context.graceBeyondWait()
        case .waitShorterThanStart: context.waitShorterThanStart()
        case .verifyShorterThanGrace: context.verifyShorterThanGrace()
        case .verifyWithoutSlack: context.verifyWithoutSlack()
        case .rollbackSlowerThanPromised: context.rollbackSlowerThanPromised()
        case .coldFirstProbe: context.coldFirstProbe()
        case .noChecks: context.noChecks()
        case .noHealthEndpoint: context.noHealthEndpoint()
        case .noSoak: context.noSoak()
        case .noAutomaticRollback: context.noAutomaticRollback()
        case .migrationsUnnamed: context.migrationsUnnamed()
        case .nobodyIsTold: context.nobodyIsTold()
        case .journalOnRunner: context.journalOnRunner()
        }
    }
}
