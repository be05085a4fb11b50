// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
package import FoundationEssentials
package import HTTPTransport
package import Model

/// A notice as the users' own webhooks take it: JSON that names everything, and header fields by which its receiver
/// knows who sent it, when, and whether it was there before. The contract is in docs/notices.md.
package enum WebhookMessage {
    package static let schema = 1
    /// Entries of a list that are sent; of more, how many.
    static let maxEntries = 100
    static let maxTextCharacters = 2000

    /// - Parameter content: the same notice in words.
    package static func json(_ order: NoticeOrder, _ content: NoticeContent) -> JSONValue {
        var json: JSONValue = [
            "schema": .integer(Int64(schema)), "type": "notice", "key": .string(order.key),
            "kind": .string(content.kind.rawValue), "tone": .string(content.tone.rawValue),
            "subject": .string(content.subject), "title": .string(content.title),
            "headline": .string(content.headline), "environment": .string(content.environment),
            "pipeline": .string(text(order.pipeline)), "app": .string(content.app),
            "url": optional(content.appURL), "run_url": optional(content.runURL),
        ]
        let details: JSONValue =
            switch order.subject {
            case .run(let report): run(report)
            case .maintenance(let notice): maintenance(notice)
            }
        for (name, value) in details.object ?? [:] { json[name] = value }
        return json
    }

    private static func run(_ report: RunReport) -> JSONValue {
        var json: JSONValue = [
            "run": .string(report.run.rawValue), "run_kind": .string(report.kind.rawValue),
            // A run that waits for people has not ended.
            "outcome": report.isUnderWay ? .null : .string(report.outcome.rawValue),
            "exit_code": report.isUnderWay ? .null : .integer(Int64(report.exitCode)),
            "actor": .string(text(report.actor)), "reason": .string(text(report.reason)),
            "commit": optional(report.commit?.rawValue), "commit_subject": optional(text(report.subject)),
            "image": optional(text(report.image)), "release": number(report.release),
            "previous_release": number(report.previousRelease), "started_at": .string(report.startedAt.description),
            "finished_at": report.isUnderWay ? .null : .string(report.finishedAt.description),
            "duration_ms": .integer((report.finishedAt - report.startedAt).wholeMilliseconds),
            "time_to_restore_ms": report.timeToRestore.map { .integer($0.wholeMilliseconds) } ?? .null,
            "health": optional(text(report.healthStatus)),
        ]
        json["stages"] = .array(
            report.stages.map { stage in
                [
                    "stage": .string(stage.stage.rawValue), "state": .string(stage.state.rawValue),
                    "started_at": optional(stage.startedAt?.description),
                    "finished_at": optional(stage.finishedAt?.description), "detail": .string(text(stage.detail)),
                ]
            })
        json["overrides"] = .array(
            report.overrides.map {
                [
                    "gate": .string(text($0.gate)), "approved_by": .string(text($0.who)),
                    "reason": .string(text($0.reason)), "would_have_said": .string(text($0.wouldHaveSaid)),
                ]
            })
        json["divergence"] = list(report.divergence)
        json["next_steps"] = list(report.nextSteps)
        json["warnings"] = list(report.warnings)
        if let wanted = report.approval {
            json["approval"] = [
                "needed": .integer(Int64(wanted.needed)), "found": .string(text(wanted.found)),
                "how": list(wanted.how), "until": optional(wanted.until?.description),
            ]
        }
        if let opening = report.opening {
            json["window"] = [
                "rule": .string(text(opening.rule)), "next_open": optional(opening.opensAt?.description),
                "next_open_local": optional(opening.words.map(text)),
            ]
        }
        return json
    }

    private static func maintenance(_ notice: MaintenanceNotice) -> JSONValue {
        [
            "maintenance": [
                "id": .string(notice.id.rawValue), "state": .string(notice.deed.rawValue),
                "from": .string(notice.from.description), "to": .string(notice.to.description),
                "from_local": .string(text(notice.fromWords)), "to_local": .string(text(notice.toWords)),
                "opens_window": .bool(notice.opensWindow),
            ],
            "actor": .string(text(notice.actor)), "reason": .string(text(notice.reason)),
            "at": .string(notice.at.description),
        ]
    }

    // MARK: - Who sent it

    /// The header fields of a body: its key, the time, and the signature over both time and body, so that neither can
    /// be changed and what was heard cannot be said again later.
    ///
    /// Signed are the decimal digits of the Unix time in seconds, a full stop, and the body, by HMAC-SHA-256
    /// (RFC 2104).
    package static func headers(for body: Data, key: String, secret: String, at now: Timestamp) -> HTTPHeaders {
        let time = String(now.secondsSinceEpoch)
        return [
            "x-airboss-notice": key, "x-airboss-timestamp": time,
            "x-airboss-signature-256": "sha256=" + signature(of: body, time: time, secret: secret),
        ]
    }

    /// In lower-case hexadecimal digits.
    static func signature(of body: Data, time: String, secret: String) -> String {
        var code = HMAC<SHA256>(key: SymmetricKey(data: Data(secret.utf8)))
        code.update(data: Data("\(time).".utf8))
        code.update(data: body)
        return code.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    // MARK: - Values

    private static func text(_ text: String) -> String { NoticeText.line(text, maxCharacters: maxTextCharacters) }

    private static func optional(_ text: String?) -> JSONValue {
        text.flatMap { $0.isEmpty ? nil : .string($0) } ?? .null
    }

    private static func number(_ release: ReleaseNumber?) -> JSONValue {
        release.map { .integer(Int64($0.value)) } ?? .null
    }

    private static func list(_ texts: [String]) -> JSONValue {
        let shown = texts.prefix(maxEntries).map { JSONValue.string(text($0)) }
        return .array(texts.count > shown.count ? shown + [.string("and \(texts.count - shown.count) more")] : shown)
    }
}
