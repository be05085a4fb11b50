// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Foundation

/// `docs/state-machines.md`: one part per test target, each generated from the tables that the target tests.
package struct StateDiagramPage {
    /// Set to 1, it makes the tests write the page instead of comparing it.
    package static let writeVariable = "AIRBOSS_WRITE_DOCS"

    private static let head = """
        # State machines

        Every machine of the core with its states and the events that lead from one to the next. The diagrams are
        generated from the state × event tables that the tests check (`Tests/RolloutsTests`, `Tests/StagesTests`), so
        that they can't say anything else than the code does. After a change of a table, write them anew with
        `AIRBOSS_WRITE_DOCS=1 swift test --filter StateDiagram`.


        """

    /// The parts of the page in their order.
    private static let parts = ["Stages", "Rollouts"]

    private let path: String

    /// - Parameter file: `#filePath` of a test in `Tests/<Target>/`.
    package init(besides file: String = #filePath) {
        path =
            URL(fileURLWithPath: file).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("docs/state-machines.md")
            .path
    }

    /// Nil where the page has the part as it is generated now, else what to do about it.
    ///
    /// - Throws: what the file system says where the page can't be written.
    package func check(part: String, _ machines: [(table: TransitionTable, purpose: String)]) throws -> String? {
        let body = machines.map { "### \($0.table.name)\n\n\($0.purpose)\n\n```mermaid\n\($0.table.diagram)\n```\n" }
            .joined(separator: "\n")
        let begin = "<!-- generated: \(part) -->\n"
        let end = "<!-- end of \(part) -->\n"
        let wanted = "\(begin)## \(part)\n\n\(body)\(end)"
        // A page that is not there yet is written like one that is out of date.
        let page = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        if page.hasPrefix(StateDiagramPage.head), page.contains(wanted) { return nil }
        guard ProcessInfo.processInfo.environment[StateDiagramPage.writeVariable] == "1" else {
            return "docs/state-machines.md is not what the tables of \(part) say; write it with: "
                + "\(StateDiagramPage.writeVariable)=1 swift test --filter StateDiagram"
        }
        var written = StateDiagramPage.head
        for name in StateDiagramPage.parts {
            if name == part {
                written += wanted
            } else if let from = page.range(of: "<!-- generated: \(name) -->\n"),
                let to = page.range(of: "<!-- end of \(name) -->\n")
            {
                written += page[from.lowerBound..<to.upperBound]
            }
        }
        try written.write(toFile: path, atomically: true, encoding: .utf8)
        return nil
    }
}
