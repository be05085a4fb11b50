// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import PipelineFiles
internal import Stages

/// Rules on what would notice trouble, and on what would end it.
extension AdviceContext {
    func noChecks() -> [Advice] {
        servingGroups.filter { $0.machines > 0 && flyToml.machineConfig(for: $0.group).checkCount == 0 }.map {
            group, _ in
            Advice(
                .noChecks, .risk, at: places.place(ofFirst: ["http_service", "services"]),
                "machines of the group “\(group)” have no check: one that started counts as serving before it answers, "
                    + "and the next one is taken away",
                suggestion: "add [[http_service.checks]] with a path that answers once the app is ready",
                evidence: seenUnnoticed)
        }
    }

    func noHealthEndpoint() -> [Advice] {
        guard subject.request.settings.verify.health == nil else { return [] }
        return [
            Advice(
                .noHealthEndpoint, .risk, at: place("verify.url"),
                "there is no address at which the app's health could be asked: a release is judged by its machines "
                    + "alone",
                suggestion: "set verify.url, and verify.health.path to an endpoint that tells whether the app works",
                evidence: seenUnnoticed)
        ]
    }

    func noSoak() -> [Advice] {
        guard subject.request.settings.verify.soak == .zero else { return [] }
        return [
            Advice(
                .noSoak, .risk, at: place("verify.soak"),
                "the release is not watched once it is verified: what breaks after a minute stays",
                suggestion: "set verify.soak, for instance to 5m; a release that fails in it is rolled back",
                evidence: seenUnnoticed)
        ]
    }

    /// Releases that do not work and were verified all the same.
    private var seenUnnoticed: String {
        guard let hit = tally.faults[.badRelease], let passed = hit.outcomes[.verified], passed > 0 else { return "" }
        return "\(Words.number(passed)) of \(Words.number(hit.runs)) seeds with a release that does not work ended "
            + "verified"
    }

    func noAutomaticRollback() -> [Advice] {
        guard !subject.request.settings.rollsBackAutomatically else { return [] }
        let stuck = tally.faults[.badRelease]?.outcomes[.needsHuman] ?? 0
        return [
            Advice(
                .noAutomaticRollback, .risk, at: place("rollback.automatic"),
                "a release that fails stays until a person comes",
                suggestion: "set rollback.automatic to true; the way back is proven before each deploy",
                evidence: seen(stuck, "a release that does not work was left for a person"))
        ]
    }

    /// Folders that tools keep migrations in, and words of commands that run them.
    private static let migrationFolders: Set<String> = ["prisma", "migrations", "migrate", "alembic", "drizzle"]
    private static let migrationWords: Set<String> = ["migrate", "db:migrate", "db:prepare", "db:chatwoot_prepare"]

    func migrationsUnnamed() -> [Advice] {
        guard subject.request.settings.migrationPaths.isEmpty else { return [] }
        guard let (place, found) = migrationSign else { return [] }
        return [
            Advice(
                .migrationsUnnamed, .risk, at: place,
                "\(found), and rollback.migrations names no folder: a rollback would go past a new migration unasked",
                suggestion: "name the folders of the repository that hold migrations in rollback.migrations")
        ]
    }

    private var migrationSign: (SourceLocation, String)? {
        if case .layers(let recipe) = pipeline.build {
            for copy in recipe.copy {
                let parts = copy.from.split(separator: "/").map(String.init)
                if parts.contains(where: AdviceContext.migrationFolders.contains) {
                    return (copy.location, "the image is given “\(copy.from)”")
                }
            }
        }
        for (group, words) in flyToml.processes.sorted(by: { $0.key < $1.key }) {
            if let word = words.first(where: AdviceContext.migrationWords.contains) {
                let stated = places.place(of: group.rawValue) { $0.contains(word) }
                let place = stated == places.start ? places.place(of: "processes") : stated
                return (place, "the command of the group “\(group)” runs “\(word)”")
            }
        }
        return nil
    }

    func nobodyIsTold() -> [Advice] {
        guard pipeline.notify.email == nil, pipeline.notify.slack == nil else { return [] }
        let stuck = tally.count(.needsHuman)
        return [
            Advice(
                .nobodyIsTold, stuck > 0 ? .risk : .note, at: place("notify"),
                "no notice goes anywhere but to the terminal and the job's summary",
                suggestion: "set notify.email or notify.slack, so that whoever is needed learns of it",
                evidence: seen(stuck, "a person was needed"))
        ]
    }

    func journalOnRunner() -> [Advice] {
        let evidence = seen(.lostJournal, "whose runner died with its journal")
        guard !evidence.isEmpty, pipeline.state.url.source.hasPrefix("sqlite:") else { return [] }
        return [
            Advice(
                .journalOnRunner, .note, at: place("state.url"),
                "the journal is a file where airboss runs: a CI runner that dies takes it along, and what was done has "
                    + "to be read off the platform",
                suggestion: "set state.url to a PostgreSQL that all runners share", evidence: evidence)
        ]
    }
}
