// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The contract's keys. The decoder accepts exactly these, and the JSON Schema is generated from them.
enum PipelineKeys {
    static let document = "pipeline"

    private static let seconds = Duration.milliseconds(1)
    private static let day = Duration.seconds(86_400)

    static let root = Section(
        "",
        [
            Key("version", .integer(1...1), required: true, "The version of this file format. Always 1."),
            Key("app", .text(.environment), required: true, "The name of the Fly app that is deployed."),
            Key(
                "fly_toml", .text(.environment), required: true,
                "The app's fly.toml, relative to this file. It describes the machines."),
            Key("source", .section(source), "Where the commits come from."),
            Key("github", .section(githubRepository), "Which repository on GitHub is asked."),
            Key("gates", .section(gates), "What must hold before anything is changed."),
            Key("window", .section(window), "When deployments may start. Default: at any time."),
            Key("build", .section(build), required: true, "How a commit becomes an image: exactly one kind."),
            Key("deploy", .section(deploy), "How the machines are changed."),
            Key("verify", .section(verify), "How a release proves that it is healthy."),
            Key("rollback", .section(rollback), "What happens when it is not."),
            Key("notify", .section(notify), "Who is told."),
            Key("state", .section(state), "Where runs and releases are recorded."),
        ])

    static let source = Section(
        "source",
        [
            Key(
                "repository", .text(.environment),
                "The git repository, relative to this file. Default: the one this file is in."),
            Key("branch", .text(.environment), "The branch the commit must be on. Default: any."),
        ])

    static let githubRepository = Section(
        "github",
        [
            Key(
                "repository", .text(.environment),
                "The repository as owner/name. Default: GITHUB_REPOSITORY, else what the remote “origin” names.")
        ])

    static let gates = Section(
        "gates",
        [
            Key("clean_worktree", .boolean, "Refuse when the work tree has changes. Default: true."),
            Key(
                "checks", .list(.text(.plain)),
                "CI checks that must have passed on the commit: names of check runs, contexts of statuses, or app/name."
            ),
            Key(
                "wait_for_checks", .duration(Duration.zero...day),
                "How long checks that are under way are waited for. Default: 10m."),
            Key(
                "checks_accept", .list(.choice(["success", "neutral", "skipped"]), minimum: 1),
                "Conclusions of a check that count as passed. Default: [success]."),
            Key("healthy", .list(.text(.environment)), "Pipelines or URLs that must be healthy now."),
            Key("approvals", .integer(0...20), "How many people must approve. Default: 0."),
            Key("author_may_approve", .boolean, "Whether the commit's author counts among them. Default: false."),
            Key(
                "approvals_accept", .list(.choice(["ssh", "review", "environment"]), minimum: 1),
                "What counts as an approval: a signature, a review of the pull request, an environment of the workflow "
                    + "run. Default: [ssh, review], and environment where approval_environments names any."),
            Key(
                "approval_environments", .list(.text(.plain), minimum: 1),
                "GitHub environments whose reviewers count for the workflow run they let through."),
            Key(
                "wait_for_approvals", .duration(Duration.zero...day),
                "How long missing approvals are waited for. Default: 0s."),
            Key(
                "approvals_expire", .duration(.seconds(60)...(.seconds(30 * 86_400))),
                "How long after it was given an approval counts at most. Default: 168h."),
            Key(
                "secrets", .list(.text(TextRule(form: .environmentName))), "Names of secrets the app must have."),
        ])

    static let window = Section(
        "window",
        [
            Key("time_zone", .text(.plain), required: true, "An IANA time zone, such as America/Los_Angeles."),
            Key(
                "open", .list(.text(.plain), minimum: 1),
                "Hours, half-open: “Mon-Fri 09:00-17:00”, “2nd Tue 22:00-02:00”. Default: at any time."),
            Key("closed", .list(.section(closed)), "Freezes: times at which no deployment starts."),
            Key(
                "high_traffic", .list(.section(highTraffic)),
                "Times of high traffic, at which no deployment starts either."),
            Key(
                "holidays", .list(.text(.plain)),
                "Closed days: us-federal, a date with a name, or a file of dates relative to this file."),
            Key(
                "must_finish", .boolean,
                "Refuse a deployment that would not be over, soak included, before the close. Default: false."),
            Key(
                "maintenance", .section(maintenance),
                "Allow announced maintenance while it is closed otherwise. Default: none."),
        ])

    private static let closedAlternatives = [["from", "to"], ["every"]]

    private static let closedKeys = [
        Key(
            "from", .text(.plain),
            "The first closed day or instant: 2026-12-24, 2026-12-24T15:00, or 12-24 for every year."),
        Key("to", .text(.plain), "The last closed day, or the instant at which it opens again."),
        Key(
            "every", .text(.plain),
            "Instead of from and to: days, with or without hours, that come again: “Fri 15:00-24:00”, “last Fri”."),
        Key("time_zone", .text(.plain), "The zone it is written in. Default: the window's."),
        Key("reason", .text(.plain), "Shown to whoever is refused."),
    ]

    static let closed = Section("window.closed", alternatives: closedAlternatives, closedKeys)

    static let highTraffic = Section(
        "window.high_traffic", alternatives: closedAlternatives,
        [Key("name", .text(.plain), required: true, "What the time is called.")] + closedKeys)

    static let maintenance = Section(
        "window.maintenance",
        [
            Key(
                "notice", .duration(.zero...(.seconds(30 * 86_400))),
                "How long before its beginning it must be announced. Default: 24h."),
            Key(
                "longest", .duration(.seconds(60)...(.seconds(7 * 86_400))), "How long it may last. Default: 8h."),
        ])

    static let build = Section(
        "build", isChoice: true,
        [
            Key("image", .text(.environment), "An image that exists: its name with a tag or a digest."),
            Key("layers", .section(layers), "An image assembled from the commit's files, without Docker."),
            Key("dockerfile", .section(dockerfile), "An image built from a Dockerfile. Not available yet."),
            Key("command", .section(command), "An image that a command builds. Not available yet."),
        ])

    static let layers = Section(
        "build.layers",
        [
            Key("base", .text(.environment), "“scratch” or an image to build on. Default: scratch."),
            Key("copy", .list(.section(copy), minimum: 1), required: true, "What is copied from the commit."),
            Key("entrypoint", .list(.text(.environment)), "The program that runs, and its first arguments."),
            Key("cmd", .list(.text(.environment)), "Further arguments; fly.toml's processes replace them."),
            Key(
                "env", .map(.scalarText(TextRule(readsEnvironment: true, form: .possiblyEmpty))),
                "Environment variables of the image."),
            Key("workdir", .text(.absolutePath), "The working directory. Default: that of the base."),
            Key("user", .scalarText(.plain), "The user the program runs as. Default: that of the base."),
            Key(
                "labels", .map(.scalarText(TextRule(readsEnvironment: true, form: .possiblyEmpty))),
                "Labels of the image."),
            Key("ports", .list(.integer(1...65_535)), "Ports the image says it listens on."),
        ])

    static let copy = Section(
        "build.layers.copy",
        [
            Key("from", .text(.plain), required: true, "A file or folder of the commit."),
            Key("to", .text(.absolutePath), required: true, "Where it goes in the image."),
            Key("mode", .octalMode, "Permissions of the files, such as \"0755\". Default: as in the commit."),
        ])

    static let dockerfile = Section(
        "build.dockerfile",
        [
            Key("path", .text(.plain), "The Dockerfile. Default: Dockerfile."),
            Key("context", .text(.plain), "The folder that is sent to the builder. Default: the repository."),
            Key("target", .text(.plain), "The stage to build. Default: the last."),
            Key("args", .map(.scalarText(TextRule(readsEnvironment: true, form: .possiblyEmpty))), "Build arguments."),
        ])

    static let command = Section(
        "build.command",
        [
            Key("run", .list(.text(.environment), minimum: 1), required: true, "The program and its arguments."),
            Key("image", .text(.environment), required: true, "The name of the image it builds and pushes."),
        ])

    static let deploy = Section(
        "deploy",
        [
            Key(
                "strategy", .choice(["rolling", "canary", "bluegreen", "immediate"]),
                "How the fleet changes. Default: rolling."),
            Key(
                "max_unavailable", .either([.integer(1...10_000), .fraction]),
                "How many machines may be down at once: a count, or a fraction below 1. Default: 1."),
            Key(
                "serving_floor", .integer(0...10_000),
                "The fewest healthy machines allowed at any instant. Default: 1, or 0 for a fleet of one."),
            Key(
                "wait_timeout", .duration(.seconds(1)...(.seconds(3600))),
                "How long a machine may take to become healthy. Default: 5m."),
            Key(
                "machines", .either([.integer(1...1000), .map(.integer(0...1000))]),
                "How many machines a first deployment makes, for every process group or for each by name. "
                    + "Default: 2 for a group with services and no volume, else 1."),
        ])

    static let verify = Section(
        "verify",
        [
            Key("url", .text(.environment), "Where the app answers. Default: its address on fly.dev, if it has one."),
            Key("health", .section(health), "The request that tells whether the app is healthy."),
            Key("attempts", .integer(1...1000), "How often health is asked at most. Default: 10."),
            Key("interval", .duration(seconds...(.seconds(3600))), "The time between two attempts. Default: 10s."),
            Key("consecutive", .integer(1...1000), "How many successes in a row count as healthy. Default: 3."),
            Key("smoke", .list(.section(smoke)), "Requests that must be answered as stated, once each."),
            Key("soak", .duration(.zero...day), "How long the release is watched afterwards. Default: 0s."),
        ])

    private static let status: Shape = .either([.list(.integer(100...599), minimum: 1), .integer(100...599)])

    static let health = Section(
        "verify.health",
        [
            Key("path", .text(.path), "The path to ask. Default: /health."),
            Key("status", status, "HTTP statuses that mean healthy. Default: [200]."),
            Key(
                "body", .map(.either([.list(.scalar, minimum: 1), .scalar])),
                "Fields of the JSON body, and the values of each that mean healthy. Default: any body."),
            Key("timeout", .duration(seconds...(.seconds(300))), "When a request is given up. Default: 5s."),
            Key(
                "within", .duration(seconds...(.seconds(300))),
                "An answer slower than this is not healthy. Default: the timeout."),
        ])

    static let smoke = Section(
        "verify.smoke",
        [
            Key("path", .text(.path), required: true, "The path to ask; redirects are not followed."),
            Key("status", status, "HTTP statuses that are right. Default: [200]."),
            Key("within", .duration(seconds...(.seconds(300))), "An answer slower than this is wrong."),
        ])

    static let rollback = Section(
        "rollback",
        [
            Key("automatic", .boolean, "Roll back without asking when verification fails. Default: true."),
            Key("within", .duration(.seconds(1)...day), "How long a rollback may take. Default: 5m."),
            Key(
                "migrations", .list(.text(.plain)),
                "Folders of database migrations; going back past one that no commit declares reversible is a person's "
                    + "decision."),
        ])

    static let notify = Section(
        "notify",
        [
            Key("email", .section(email), "Notices by e-mail."),
            Key("slack", .section(slack), "Notices to Slack or to what understands its webhooks."),
            Key("webhook", .section(webhook), "Notices as signed JSON to a receiver of your own."),
            Key("github", .section(github), "What is recorded on GitHub."),
            Key("redact", .section(redact), "What is a secret in your texts, beside what is known as one."),
        ])

    static let webhook = Section(
        "notify.webhook",
        [
            Key("url", .text(.secret), required: true, "Where the notice is posted: https, or http on this machine."),
            Key(
                "secret", .text(.secret), required: true,
                "What it is signed with (HMAC-SHA-256), at least 16 characters; use ${…}."),
        ])

    static let redact = Section(
        "notify.redact",
        [
            Key(
                "patterns", .list(.text(.plain)),
                "Regular expressions; what one matches is shown and kept nowhere."),
            Key("allow", .list(.text(.plain)), "Words that stay, whatever they look like; at least 4 characters each."),
        ])

    static let email = Section(
        "notify.email",
        [
            Key("to", .list(.text(.environment), minimum: 1), required: true, "The addresses that are written to."),
            Key("smtp", .text(.secret), required: true, "The server: smtp://user:password@host:587; use ${…}."),
            Key("from", .text(.environment), "The sender. Default: the user of the server."),
        ])

    static let slack = Section(
        "notify.slack", [Key("webhook", .text(.secret), required: true, "The webhook's address; use ${…}.")])

    static let github = Section(
        "notify.github",
        [
            Key("deployment", .boolean, "Record runs as deployments on GitHub. Default: false."),
            Key(
                "issue_on_failure", .boolean,
                "Keep an incident issue: opened by a failure, closed by the next verified deploy. Default: false."),
            Key("assignees", .list(.text(.plain)), "GitHub accounts that the issue is assigned to."),
        ])

    static let state = Section(
        "state",
        [
            Key(
                "url", .text(.secret),
                "sqlite:PATH; a flag and AIRBOSS_STATE go before it. "
                    + "Default: sqlite:.airboss/state.sqlite.")
        ])
}
