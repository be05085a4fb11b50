// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// A notice as Slack's incoming webhooks take it, and what understands the same: blocks, and a text for notifications
/// and for readers without blocks. Source: Slack API, "Block Kit", whose limits these are.
package enum SlackMessage {
    static let maxBlocks = 50
    static let maxHeaderCharacters = 150
    static let maxTextCharacters = 3000
    static let maxFieldCharacters = 2000
    static let maxFieldsPerSection = 10

    /// The body to post, as JSON.
    package static func json(_ content: NoticeContent) -> JSONValue {
        var blocks: [JSONValue] = [
            ["type": "header", "text": plain(content.subject, maxHeaderCharacters)],
            section(markdown("*\(SlackText.escape(content.app))*  \(SlackText.escape(content.headline))")),
        ]
        let trouble = list("What differs from the wanted state", content.divergence.map { "• " + SlackText.escape($0) })
        let steps = list("What to do next", content.nextSteps.map(step))
        blocks += [trouble, steps].compactMap { $0.map { section(markdown($0)) } }
        for override in content.overrides {
            let text = "\(override.gate) was overridden by \(override.who): \(override.why)"
            let instead = override.instead.map { " (it would have said: \($0))" } ?? ""
            blocks.append(section(plain("⚠️ " + text + instead, maxTextCharacters)))
        }
        for warning in content.warnings { blocks.append(section(plain("⚠️ " + warning, maxTextCharacters))) }
        blocks += facts(content.facts)
        if !content.stages.isEmpty {
            let lines = content.stages.map { stage in
                let elapsed = stage.elapsed.map { "  \($0)" } ?? ""
                let detail = stage.detail.map { " – \($0)" } ?? ""
                return "\(stage.symbol) \(stage.stageName): \(stage.word)\(elapsed)\(detail)"
            }
            blocks.append(section(plain(lines.joined(separator: "\n"), maxTextCharacters)))
        }
        let buttons = [("View the run", content.runURL), ("Open the app", content.appURL)].compactMap { label, url in
            url.map { ["type": "button", "text": plain(label, 75), "url": .string($0)] as JSONValue }
        }
        if !buttons.isEmpty { blocks.append(["type": "actions", "elements": .array(buttons)]) }
        blocks = Array(blocks.prefix(maxBlocks - 1))
        blocks.append([
            "type": "context",
            "elements": [plain("Airboss · \(content.about) · \(content.finished)", maxFieldCharacters)],
        ])
        let fallback = content.subject + " (" + content.app + "): " + content.headline
        return [
            "text": .string(bounded(SlackText.escape(fallback), maxTextCharacters)),
            "blocks": .array(blocks), "link_names": false, "unfurl_links": false, "unfurl_media": false,
        ]
    }

    /// Label and value side by side; values are plain text, so that no markup in them means anything.
    private static func facts(_ facts: [NoticeContent.Fact]) -> [JSONValue] {
        var sections: [JSONValue] = []
        var rest = facts[...]
        while !rest.isEmpty {
            let fields = rest.prefix(maxFieldsPerSection / 2).flatMap { fact -> [JSONValue] in
                let note = fact.note.map { "  (\($0))" } ?? ""
                return [markdown("*\(fact.label)*"), plain(fact.value + note, maxFieldCharacters)]
            }
            sections.append(["type": "section", "fields": .array(fields)])
            rest = rest.dropFirst(maxFieldsPerSection / 2)
        }
        return sections
    }

    private static func step(_ step: NoticeContent.Step) -> String {
        // A backtick would end the code; a quotation mark is what it stands for in a shell's line seldom enough.
        let text = SlackText.escape(step.text)
        return step.isCommand ? "`" + text.replacing("`", with: "'") + "`" : "• " + text
    }

    private static func list(_ title: String, _ lines: [String]) -> String? {
        lines.isEmpty ? nil : "*\(title)*\n" + lines.joined(separator: "\n")
    }

    private static func section(_ text: JSONValue) -> JSONValue {
        ["type": "section", "text": text]
    }

    private static func markdown(_ escaped: String) -> JSONValue {
        ["type": "mrkdwn", "text": .string(bounded(escaped, maxTextCharacters)), "verbatim": true]
    }

    private static func plain(_ text: String, _ limit: Int) -> JSONValue {
        ["type": "plain_text", "text": .string(bounded(SlackText.escape(text), limit)), "emoji": true]
    }

    private static func bounded(_ text: String, _ limit: Int) -> String {
        // Slack counts UTF-16 units, and cuts no entity in two if this does not.
        guard text.utf16.count > limit else { return text }
        var end = text.startIndex
        var length = 0
        while end < text.endIndex, length + text[end].utf16.count < limit {
            length += text[end].utf16.count
            end = text.index(after: end)
        }
        var kept = text[..<end]
        if let ampersand = kept.lastIndex(of: "&"), !kept[ampersand...].contains(";") { kept = kept[..<ampersand] }
        return kept + "…"
    }
}
