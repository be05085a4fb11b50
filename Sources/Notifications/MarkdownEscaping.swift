// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Text that others wrote, made fit to stand in GitHub's Markdown.
package enum MarkdownEscaping {
    /// One line without secrets in which nothing begins markup, and nobody is notified.
    package static func line(_ text: String, limit: Int = 300) -> String {
        MarkdownText().escapeText(ShownText.line(Redactor.redact(text), limit: limit))
    }
}
