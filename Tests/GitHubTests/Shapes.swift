// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model

/// Objects of GitHub's API with every member that its description requires. Source: github/rest-api-description,
/// version 2022-11-28.
enum Shapes {
    static let api = "https://api.github.com"
    static let time = "2026-11-21T09:00:00Z"

    static func user(_ login: String) -> JSONValue {
        var value: JSONValue = [
            "login": .string(login), "id": 1, "node_id": "U_1", "avatar_url": "https://avatars.example/1",
            "gravatar_id": "", "type": "User", "site_admin": false,
        ]
        for name in [
            "url", "html_url", "followers_url", "following_url", "gists_url", "starred_url", "subscriptions_url",
            "organizations_url", "repos_url", "events_url", "received_events_url",
        ] { value[name] = .string("\(api)/users/\(login)/\(name)") }
        return value
    }

    static let repository: JSONValue = {
        var value: JSONValue = [
            "id": 1, "node_id": "R_1", "name": "shop", "full_name": .string(StandIn.repository), "owner": user("acme"),
            "private": true, "description": .null, "fork": false, "license": .null, "mirror_url": .null,
            "homepage": .null, "language": .null, "default_branch": "main", "has_pages": false, "disabled": false,
            "pushed_at": .string(time), "created_at": .string(time), "updated_at": .string(time),
        ]
        for name in [
            "html", "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare",
            "contents", "contributors", "deployments", "downloads", "events", "forks", "git_commits", "git_refs",
            "git_tags", "issue_comment", "issue_events", "issues", "keys", "labels", "languages", "merges",
            "milestones", "notifications", "pulls", "releases", "stargazers", "statuses", "subscribers",
            "subscription", "tags", "teams", "trees", "hooks", "git", "ssh", "clone", "svn",
        ] { value[name + "_url"] = .string("\(api)/repos/acme/shop/\(name)") }
        value["url"] = .string("\(api)/repos/acme/shop")
        for name in [
            "forks", "forks_count", "stargazers_count", "watchers_count", "size", "open_issues_count", "open_issues",
            "watchers",
        ] { value[name] = 0 }
        return value
    }()

    static func checkRunPage(_ runs: JSONValue, total: Int) -> JSONValue {
        ["total_count": .integer(Int64(total)), "check_runs": runs]
    }

    static func combinedStatus(_ statuses: JSONValue, total: Int, sha: String) -> JSONValue {
        [
            "state": "pending", "statuses": statuses, "sha": .string(sha), "total_count": .integer(Int64(total)),
            "commit_url": .string("\(api)/repos/acme/shop/commits/\(sha)"),
            "url": .string("\(api)/repos/acme/shop/commits/\(sha)/status"), "repository": repository,
        ]
    }

    static func app(_ slug: String) -> JSONValue {
        [
            "id": 15368, "slug": .string(slug), "node_id": "A_1", "owner": user("github"), "name": .string(slug),
            "description": "", "external_url": "https://example.com", "html_url": "https://github.com/apps/x",
            "created_at": .string(time), "updated_at": .string(time), "permissions": ["checks": "write"],
            "events": ["check_run"],
        ]
    }

    static func checkRun(
        _ name: String, id: Int, status: String = "completed", conclusion: String? = "success",
        app slug: String? = "github-actions", startedAt: String? = time, suite: Int = 5,
        sha: String = StandIn.commit.rawValue
    ) -> JSONValue {
        [
            "id": .integer(Int64(id)), "head_sha": .string(sha), "node_id": .string("CR_\(id)"), "external_id": "x",
            "url": .string("\(api)/repos/acme/shop/check-runs/\(id)"),
            "html_url": .string("https://github.com/acme/shop/runs/\(id)"), "details_url": "https://example.com",
            "status": .string(status), "conclusion": conclusion.map { .string($0) } ?? .null,
            "started_at": startedAt.map { .string($0) } ?? .null,
            "completed_at": conclusion == nil ? .null : .string(time),
            "output": [
                "title": .null, "summary": .null, "text": .null, "annotations_count": 0,
                "annotations_url": .string("\(api)/annotations/\(id)"),
            ],
            "name": .string(name), "check_suite": ["id": .integer(Int64(suite))],
            "app": slug.map { app($0) } ?? .null, "pull_requests": [],
        ]
    }

    static func status(_ context: String, id: Int, state: String = "success", updatedAt: String = time) -> JSONValue {
        [
            "description": .null, "id": .integer(Int64(id)), "node_id": .string("S_\(id)"), "state": .string(state),
            "context": .string(context), "target_url": .null, "avatar_url": .null,
            "url": .string("\(api)/repos/acme/shop/statuses/\(id)"), "created_at": .string(updatedAt),
            "updated_at": .string(updatedAt),
        ]
    }

    static func pullRequest(
        _ number: Int, head: String, merge: String?, isMerged: Bool = true, of full: String = StandIn.repository
    ) -> JSONValue {
        let place = "\(api)/repos/acme/shop/pulls/\(number)"
        var value: JSONValue = [
            "id": .integer(Int64(number * 10)), "node_id": "PR_1", "number": .integer(Int64(number)),
            "state": .string(isMerged ? "closed" : "open"), "locked": false, "title": "Better greeting",
            "user": user("ada"), "body": .null, "labels": [], "milestone": .null, "created_at": .string(time),
            "updated_at": .string(time), "closed_at": isMerged ? .string(time) : .null,
            "merged_at": isMerged ? .string(time) : .null, "merge_commit_sha": merge.map { .string($0) } ?? .null,
            "assignee": .null, "author_association": "MEMBER", "auto_merge": .null,
        ]
        for name in [
            "url", "html_url", "diff_url", "patch_url", "issue_url", "commits_url", "review_comments_url",
            "review_comment_url", "comments_url", "statuses_url",
        ] { value[name] = .string("\(place)/\(name)") }
        var links: [String: JSONValue] = [:]
        for name in [
            "self", "html", "issue", "comments", "review_comments", "review_comment", "commits", "statuses",
        ] { links[name] = ["href": .string("\(place)/\(name)")] }
        value["_links"] = .object(links)
        value["head"] = [
            "label": "acme:topic", "ref": "topic", "sha": .string(head), "user": user("ada"), "repo": repository,
        ]
        var base = repository
        base["full_name"] = .string(full)
        value["base"] = [
            "label": "acme:main", "ref": "main", "sha": .string(head), "user": user("acme"), "repo": base,
        ]
        return value
    }

    static func review(_ id: Int, by login: String, state: String, commit: String) -> JSONValue {
        [
            "id": .integer(Int64(id)), "node_id": "R_1", "user": user(login), "body": "", "state": .string(state),
            "html_url": "https://github.com/r", "pull_request_url": "https://api.github.com/p",
            "_links": ["html": ["href": "https://github.com/r"], "pull_request": ["href": "https://github.com/p"]],
            "submitted_at": .string(time), "commit_id": .string(commit), "author_association": "MEMBER",
        ]
    }

    static func workflowRun(_ id: Int, commit: String, status: String = "in_progress") -> JSONValue {
        let place = "\(api)/repos/acme/shop/actions/runs/\(id)"
        var value: JSONValue = [
            "id": .integer(Int64(id)), "name": "Deploy", "node_id": "WR_1", "check_suite_id": 5,
            "check_suite_node_id": "CS_1", "head_branch": "main", "head_sha": .string(commit), "path": "deploy.yml",
            "display_title": "Deploy", "run_number": 3, "run_attempt": 1, "event": "workflow_dispatch",
            "status": .string(status), "conclusion": .null, "workflow_id": 9,
            "url": .string(place), "html_url": .string("https://github.com/acme/shop/actions/runs/\(id)"),
            "pull_requests": [], "created_at": .string(time), "updated_at": .string(time),
            "run_started_at": .string(time), "actor": user("ada"), "triggering_actor": user("ada"),
            "head_commit": .null, "repository": repository, "head_repository": repository,
        ]
        for name in [
            "jobs_url", "logs_url", "check_suite_url", "artifacts_url", "cancel_url", "rerun_url", "workflow_url",
        ] { value[name] = .string("\(place)/\(name)") }
        return value
    }

    static func approval(_ environment: String, by login: String, state: String = "approved") -> JSONValue {
        [
            "environments": [["id": 7, "name": .string(environment)]], "state": .string(state), "user": user(login),
            "comment": "Go",
        ]
    }

    static func deployment(
        id: Int, sha: String, environment: String, description: JSONValue, payload: JSONValue
    ) -> JSONValue {
        [
            "url": .string("\(api)/repos/acme/shop/deployments/\(id)"), "id": .integer(Int64(id)),
            "node_id": .string("D_\(id)"), "sha": .string(sha), "ref": .string(sha), "task": "deploy",
            "payload": payload, "environment": .string(environment), "description": description,
            "creator": user("ada"), "created_at": .string(time), "updated_at": .string(time),
            "statuses_url": .string("\(api)/repos/acme/shop/deployments/\(id)/statuses"),
            "repository_url": .string("\(api)/repos/acme/shop"),
        ]
    }

    static func deploymentStatus(id: Int, state: String, of body: JSONValue) -> JSONValue {
        [
            "url": .string("\(api)/status/\(id)"), "id": .integer(Int64(id)), "node_id": .string("DS_\(id)"),
            "state": .string(state), "creator": user("ada"), "description": body["description"] ?? "",
            "target_url": "", "log_url": body["log_url"] ?? "", "environment_url": body["environment_url"] ?? "",
            "created_at": .string(time), "updated_at": .string(time), "deployment_url": "https://api.github.com/d",
            "repository_url": .string("\(api)/repos/acme/shop"),
        ]
    }

    static func issue(number: Int, title: String, body: JSONValue, labels: [String]) -> JSONValue {
        let place = "\(api)/repos/acme/shop/issues/\(number)"
        return [
            "id": .integer(Int64(number * 100)), "node_id": "I_1", "url": .string(place),
            "repository_url": .string("\(api)/repos/acme/shop"), "labels_url": .string(place),
            "comments_url": .string(place), "events_url": .string(place),
            "html_url": .string("https://github.com/acme/shop/issues/\(number)"), "number": .integer(Int64(number)),
            "state": "open", "title": .string(title), "body": body, "user": user("ada"),
            "labels": .array(labels.map { ["id": 1, "name": .string($0)] }), "assignee": .null, "assignees": [],
            "milestone": .null, "locked": false, "comments": 0, "closed_at": .null, "created_at": .string(time),
            "updated_at": .string(time), "author_association": "MEMBER",
        ]
    }

    static func comment(id: Int, body: String) -> JSONValue {
        [
            "id": .integer(Int64(id)), "node_id": "IC_1", "url": .string("\(api)/comments/\(id)"),
            "body": .string(body), "html_url": "https://github.com/c", "user": user("ada"),
            "created_at": .string(time), "updated_at": .string(time), "issue_url": "https://api.github.com/i",
            "author_association": "MEMBER",
        ]
    }
}
