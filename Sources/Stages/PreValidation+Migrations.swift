// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What the database's migrations mean for going back, by itself or by hand.
extension PreValidation {
    mutating func judgeMigrations(_ found: MigrationChanges, _ agenda: inout Agenda) {
        if request.kind == .rollback {
            undone.append(found)
            judgeUndoneMigrations(&agenda)
            return
        }
        guard found.needsPerson else { return }
        leaveToPerson(found.paths, because: Self.told(found), &agenda)
    }

    /// No automatic rollback, unless somebody has said for this run that the old code can run on what changes.
    ///
    /// - Parameter paths: what changes; empty where that is not known.
    mutating func leaveToPerson(_ paths: [String], because reason: String, _ agenda: inout Agenda) {
        guard !request.overrides.skippedGates.contains(GateName.migrations.rawValue) else {
            set(.migrations, .refused, "\(reason); an automatic rollback would stop at a person", &agenda)
            return
        }
        facts.migrations = paths.isEmpty ? request.settings.migrationPaths : paths
        warn("\(reason): an automatic rollback will stop at a person", &agenda)
    }

    /// Which migrations changed, and which commits do not say that they are reversible.
    private static func told(_ found: MigrationChanges) -> String {
        func list(_ texts: [String]) -> String {
            let rest = texts.count - maxToldMigrations
            return texts.prefix(maxToldMigrations).joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
        }
        let paths = found.paths.isEmpty ? "" : " (\(list(found.paths)))"
        let silent = found.commits.filter { !$0.isReversible }.map {
            "\($0.commit.short) “\(ShownText.line($0.subject, limit: 60))”"
        }
        let who = silent.isEmpty ? "" : ", and no trailer “Migration: reversible” is in \(list(silent))"
        return "migrations change\(paths)\(who)\(found.isTruncated ? ", and there are more than are looked at" : "")"
    }

    /// The deployed commit is not known, so that nobody can tell what lies between.
    mutating func migrationsUnknown(since release: ReleaseRecord, _ agenda: inout Agenda) {
        guard !request.settings.migrationPaths.isEmpty, request.kind == .deploy || request.kind == .promote else {
            return
        }
        leaveToPerson(
            [], because: "which commit \(release.number) is of is not known, so that migrations since can't be told",
            &agenda)
    }

    /// A rollback by hand leaves the database as it is: are there migrations of newer releases in it?
    mutating func askForUndoneMigrations(to target: ReleaseRecord, _ agenda: inout Agenda) {
        let paths = request.settings.migrationPaths
        guard !paths.isEmpty, let history = facts.history else { return }
        let newer = history.states.filter { $0.number > target.number }
        if let served = facts.servedByMarks, !history.states.contains(where: { $0.number == served }) {
            set(
                .migrations, .unanswered,
                "which commit \(served) is of is not known, so that migrations since \(target.number) can't be told",
                hint: PreValidation.migrationOverride, &agenda)
            return
        }
        guard let commit = target.commit, newer.allSatisfy({ $0.commit != nil }),
            newer.count <= PreValidation.maxNewerReleases
        else {
            let unknown =
                target.commit == nil ? target.number : newer.first { $0.commit == nil }?.number ?? target.number
            set(
                .migrations, .unanswered,
                newer.count > PreValidation.maxNewerReleases
                    ? "which migrations \(newer.count) releases since \(target.number) brought was not looked at"
                    : "which commit \(unknown) is of is not known, so that migrations since can't be told",
                hint: PreValidation.migrationOverride, &agenda)
            return
        }
        let commits = Set(newer.compactMap(\.commit)).subtracting([commit])
        for other in commits.sorted() {
            ask(.migrations, .git(query: .migrations(from: commit, to: other, paths: paths)), &agenda)
        }
        if commits.isEmpty { set(.migrations, .passed, "no newer release has other migrations", &agenda) }
    }

    mutating func judgeUndoneMigrations(_ agenda: inout Agenda) {
        guard !routes.values.contains(.migrations), gates[.migrations] == nil else { return }
        let bad = undone.filter(\.needsPerson)
        guard let worst = bad.max(by: { $0.paths.count < $1.paths.count }) else {
            set(.migrations, .passed, "what newer releases changed of them is declared reversible", &agenda)
            return
        }
        facts.migrations = worst.paths
        set(
            .migrations, .refused, "going back leaves the database ahead of the code: \(Self.told(worst))",
            hint: PreValidation.migrationOverride, &agenda)
    }

    /// Releases whose migrations a rollback looks at.
    static let maxNewerReleases = 20
    /// Paths, and commits, of migrations that are told.
    static let maxToldMigrations = 5
    static let migrationOverride = "where the old code can run on the new schema: --skip migrations --approved-by WHO"
}
