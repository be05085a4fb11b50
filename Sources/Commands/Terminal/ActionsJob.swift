// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Glibc
internal import Model
internal import Notifications

/// The job of GitHub Actions that this process is a step of.
///
/// Its runner takes lines for commands, on standard error as on standard output. They go to standard error, so that
/// standard output stays what it is anywhere else. Source: GitHub, "Workflow commands for GitHub Actions";
/// actions/runner, ActionCommand.cs.
struct ActionsJob: Sendable {
    enum Level: String {
        case warning, error
    }

    /// The file that takes the step's outputs.
    let outputPath: String

    /// An annotation is a note beside the log; what is longer stands in the log.
    static let maxAnnotationCharacters = 4_000
    /// A shorter secret would hide words of the log that are none.
    static let minMaskedCharacters = 8

    /// Nil outside of a job, and where the step's outputs have no file: then nobody takes commands.
    init?(_ environment: [String: String]) {
        guard environment["GITHUB_ACTIONS"] == "true", let path = environment["GITHUB_OUTPUT"], !path.isEmpty
        else { return nil }
        outputPath = path
    }

    // MARK: - Commands

    /// One line that the runner understands; the text may have several.
    static func command(_ name: String, title: String? = nil, _ text: String = "") -> String {
        let properties = title.map { " title=" + escaped($0).replacing(":", with: "%3A").replacing(",", with: "%2C") }
        return "::\(name)\(properties ?? "")::\(escaped(text))\n"
    }

    /// Source: actions/toolkit, core/src/command.ts.
    private static func escaped(_ text: String) -> String {
        text.replacing("%", with: "%25").replacing("\r", with: "%0D").replacing("\n", with: "%0A")
    }

    /// A note that GitHub shows on the run's page; nothing in its lines can become a command.
    func annotate(_ level: Level, title: String, _ lines: [String]) {
        let text = lines.flatMap { $0.split(whereSeparator: \.isNewline) }.map { TerminalText.line(String($0)) }
            .filter { !$0.isEmpty }.joined(separator: "\n")
        let isLong = text.count > ActionsJob.maxAnnotationCharacters
        let shown = isLong ? text.prefix(ActionsJob.maxAnnotationCharacters - 1) + "…" : text
        StandardStreams.error(ActionsJob.command(level.rawValue, title: title, shown))
    }

    func beginGroup(_ name: String) { StandardStreams.error(ActionsJob.command("group", TerminalText.line(name))) }
    func endGroup() { StandardStreams.error(ActionsJob.command("endgroup")) }

    /// Hides secrets in everything that the job's later lines say; a line of a secret at a time, as logs have lines.
    ///
    /// The command names the secret, so a stream that goes to a file and not to the runner gets none.
    func mask(_ secrets: [String]) {
        guard !StandardStreams.isErrorFile else { return }
        for secret in secrets {
            for line in secret.split(whereSeparator: \.isNewline) where line.count >= ActionsJob.minMaskedCharacters {
                StandardStreams.error(ActionsJob.command("add-mask", String(line)))
            }
        }
    }

    // MARK: - Outputs

    /// Appends the step's outputs in one write; returns why they could not be written.
    func writeOutputs(of report: RunReport) -> String? {
        let outputs = [
            ("outcome", report.outcome.rawValue), ("release", report.release.map { String($0.value) } ?? ""),
            ("previous_release", report.previousRelease.map { String($0.value) } ?? ""), ("image", report.image),
            ("run", report.run.rawValue), ("url", report.url),
        ]
        // Drawn anew, so that no value can hold the line that ends it.
        let delimiter = "airboss_" + String(UInt64.random(in: 0 ... .max), radix: 36)
        let text = outputs.filter { !$0.1.isEmpty }
            .map { "\($0.0)<<\(delimiter)\n\(Redactor.redact($0.1))\n\(delimiter)\n" }.joined()
        return append(text)
    }

    private func append(_ text: String) -> String? {
        let descriptor = open(outputPath, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o644)
        guard descriptor >= 0 else { return problem() }
        defer { close(descriptor) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return problem() }
            bytes = bytes.dropFirst(count)
        }
        return nil
    }

    private func problem() -> String {
        "the step's outputs could not be written to GITHUB_OUTPUT: \(String(cString: strerror(errno)))"
    }
}

extension GlobalOptions {
    /// The job that this process is a step of; nil elsewhere.
    var job: ActionsJob? { ActionsJob(environment) }
}
