// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import PipelineFiles
internal import Stages
internal import Verification

extension RehearsalSubject {
    /// The subject as the engine plays it. The app it plays has every secret and, where it is well, answers 200 at
    /// once;
    /// its machines pass their checks no sooner than fly.toml's grace period lets them be asked.
    package var scenario: Scenario {
        var scenario = Scenario(self)
        scenario.settings.requiredSecrets = []
        scenario.settings.verify.health = scenario.settings.verify.health.map(played)
        scenario.settings.verify.fallback = scenario.settings.verify.fallback.map(played)
        scenario.settings.verify.smoke = scenario.settings.verify.smoke.map(played)
        let toml = request.settings.flyToml
        let graces = toml.groups.flatMap { group in
            toml.machineConfig(for: group).checkDefinitions.compactMap { check in
                check.definition["grace_period"]?.string.flatMap { Duration(goText: $0) }?.wholeMilliseconds
            }
        }
        let firstResult = Int(graces.max() ?? 0)
        scenario.newImage.checkMilliseconds = max(scenario.newImage.checkMilliseconds, firstResult)
        scenario.oldImage.checkMilliseconds = max(scenario.oldImage.checkMilliseconds, firstResult)
        return scenario
    }
    /// What the pipeline asks of an answer, in terms of the one that the simulation gives.
    private func played(_ probe: HealthProbe) -> HealthProbe {
        var probe = probe
        probe.criteria = HealthCriteria(within: probe.criteria.within)
        return probe
    }
}
