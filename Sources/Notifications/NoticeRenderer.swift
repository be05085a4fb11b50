// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Mustache

/// Renders notices for the channels that are text.
package enum NoticeRenderer {
    /// For a terminal, or the log of a job; colours only where asked for.
    package static func terminal(_ content: NoticeContent, color: Bool) -> String {
        var view = view(content)
        // The style codes are inserted like values: the escaping of a terminal leaves them alone.
        view["bold"] = color ? "\u{1B}[1m" : ""
        view["faint"] = color ? "\u{1B}[2m" : ""
        view["plain"] = color ? "\u{1B}[0m" : ""
        return templates.terminal.render(view)
    }

    /// For `GITHUB_STEP_SUMMARY`, issues and pull requests.
    package static func markdown(_ content: NoticeContent) -> String {
        templates.markdown.render(view(content))
    }

    /// The plain part of an e-mail.
    package static func emailText(_ content: NoticeContent) -> String {
        templates.email.render(view(content))
    }

    /// The HTML part of an e-mail; it loads nothing from anywhere.
    package static func emailHTML(_ content: NoticeContent) -> String {
        templates.html.render(view(content))
    }

    private struct Templates: Sendable {
        var terminal, markdown, email, html: MustacheTemplate
    }

    private static let templates: Templates = {
        Escaping.register
        do {
            return Templates(
                terminal: try MustacheTemplate(string: NoticeTemplates.terminal),
                markdown: try MustacheTemplate(string: NoticeTemplates.markdown),
                email: try MustacheTemplate(string: NoticeTemplates.email),
                html: try MustacheTemplate(string: NoticeTemplates.html))
        } catch {
            // The templates are constants; the tests render each of them.
            preconditionFailure("a template does not parse: \(error)")
        }
    }()

    /// A longer id does not fit the line of an e-mail and is set smaller.
    private static let maxChipCharacters = 40

    // MARK: What templates see

    private static func view(_ content: NoticeContent) -> [String: Any] {
        let labelWidth = content.facts.map(\.label.count).max() ?? 0
        let nameWidth = content.stages.map(\.stageName.count).max() ?? 0
        let wordWidth = content.stages.map(\.word.count).max() ?? 0
        let elapsedWidth = content.stages.map { $0.elapsed?.count ?? 0 }.max() ?? 0
        var view: [String: Any] = [
            "symbol": content.symbol, "title": content.title, "headline": content.headline, "app": content.app,
            "environment": content.environment, "run": content.run, "about": content.about,
            "finished": content.finished,
            "color": color(content.tone), "font": NoticeTemplates.font, "mono": NoticeTemplates.mono,
            "heading": NoticeTemplates.heading, "body": NoticeTemplates.body, "small": NoticeTemplates.small,
            "noteColors": NoticeTemplates.noteColors,
            "facts": content.facts.map { fact in
                row(
                    ["label": fact.label, "value": fact.value, "note": fact.note, "link": fact.link],
                    [
                        "isCode": fact.isCode, "isLong": fact.value.count > maxChipCharacters,
                        "padded": padded(fact.label, labelWidth),
                    ])
            },
            "stages": content.stages.map { stage in
                row(
                    [
                        "stageName": stage.stageName, "word": stage.word, "elapsed": stage.elapsed,
                        "detail": stage.detail,
                    ],
                    [
                        "symbol": stage.symbol, "stageColor": stage.tone == .neutral ? "#b9c3ce" : color(stage.tone),
                        "hasNews": stage.elapsed != nil || stage.detail != nil,
                        "paddedElapsed": padded(stage.elapsed ?? "", elapsedWidth),
                        "padded": padded(stage.stageName, nameWidth), "paddedWord": padded(stage.word, wordWidth),
                    ])
            },
            "overrides": content.overrides.map {
                row(["gate": $0.gate, "who": $0.who, "why": $0.why, "instead": $0.instead], [:])
            },
            "steps": content.nextSteps.map {
                ["text": $0.text, "isCommand": $0.isCommand, "bullet": $0.isCommand ? "$" : "•"] as [String: Any]
            },
            "divergence": content.divergence, "warnings": content.warnings,
            "hasStages": !content.stages.isEmpty, "hasDivergence": !content.divergence.isEmpty,
            "hasSteps": !content.nextSteps.isEmpty, "hasWarnings": !content.warnings.isEmpty,
            "hasTrouble": !content.divergence.isEmpty || !content.nextSteps.isEmpty,
            "hasBoth": !content.divergence.isEmpty && !content.nextSteps.isEmpty,
            "hasNotes": !content.overrides.isEmpty || !content.warnings.isEmpty,
            "hasLinks": content.runURL != nil || content.appURL != nil,
        ]
        // What a person may do is no alarm where nothing broke.
        let isAlarm = content.tone == .bad || !content.divergence.isEmpty
        view["troubleBox"] = isAlarm ? "alarm-box" : "note-box"
        view["troubleColors"] = isAlarm ? NoticeTemplates.alarmColors : NoticeTemplates.noteColors
        let links = [("View the run", content.runURL), ("Open the app", content.appURL)]
        view["links"] = links.compactMap { label, url in url.map { ["label": label, "target": $0] } }
        view["runURL"] = content.runURL
        view["appURL"] = content.appURL
        return view
    }

    /// Leaves out what is nil: a template asks whether a name is there.
    private static func row(_ optional: [String: String?], _ others: [String: Any]) -> [String: Any] {
        var row = others
        for (name, value) in optional {
            if let value { row[name] = value }
        }
        return row
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func color(_ tone: NoticeContent.Tone) -> String {
        switch tone {
        case .good: "#17784a"
        case .warning: "#a85f00"
        case .bad: "#bf2c47"
        case .neutral: "#566270"
        }
    }
}
