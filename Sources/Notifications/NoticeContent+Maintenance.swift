// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

extension NoticeContent {
    /// Puts what became of maintenance into words, without secrets.
    package init(_ original: MaintenanceNotice) {
        let notice = Redactor.redact(original)
        let environment = NoticeContent.environment(pipeline: notice.pipeline, app: notice.app)
        let (kind, tone, symbol, word, by): (Kind, Tone, String, String, String) =
            switch notice.deed {
            case .announced: (.maintenanceAnnounced, .neutral, "📅", "Announced", "Announced by")
            case .withdrawn: (.maintenanceWithdrawn, .neutral, "📅", "Withdrawn", "Withdrawn by")
            case .closed: (.maintenanceClosed, .good, "✅", "Closed", "Closed by")
            }
        let span = "from \(notice.fromWords) to \(notice.toWords)"
        let headline =
            switch notice.deed {
            case .announced: "Maintenance \(span)"
            case .withdrawn: "The maintenance \(span) will not take place"
            case .closed: "The maintenance that was announced \(span) is over: what was deployed in it is verified"
            }
        var facts: [Fact] = []
        func add(_ label: String, _ value: String, note: String? = nil, link: String? = nil, isCode: Bool = false) {
            guard let value = NoticeText.optionalLine(value) else { return }
            facts.append(
                Fact(
                    label: label, value: value, note: note.flatMap { NoticeText.optionalLine($0) }, link: link,
                    isCode: isCode))
        }
        add("Reason", notice.reason)
        add("Begins", notice.fromWords, note: NoticeText.time(notice.from))
        add("Ends", notice.toWords, note: NoticeText.time(notice.to))
        add("Lasts", NoticeText.duration(notice.to - notice.from))
        if notice.deed == .announced, notice.opensWindow {
            add("Deployments", "may begin in it although the window is closed")
        }
        add(by, notice.actor)
        add("Time", NoticeText.time(notice.at))
        add("Maintenance", notice.id.rawValue, link: NoticeText.link(notice.runURL), isCode: true)
        let id = NoticeText.line(notice.id.rawValue)
        self.init(
            kind: kind, tone: tone, symbol: symbol, title: "\(environment) Maintenance \(word)",
            headline: NoticeText.line(headline), app: NoticeText.line(notice.app.rawValue), environment: environment,
            facts: facts, stages: [], overrides: [], divergence: [], nextSteps: [], warnings: [],
            appURL: NoticeText.link(notice.url), runURL: NoticeText.link(notice.runURL), run: id,
            about: "maintenance " + id, finished: NoticeText.time(notice.at))
    }
}
