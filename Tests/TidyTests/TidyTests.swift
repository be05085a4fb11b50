// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Testing

/// The house checks itself. Every test names all that is wrong at once.
@Suite struct TidyTests {
    static let maxColumns = 120
    static let maxLines = 620

    let repository: Repository

    init() throws {
        repository = try Repository()
    }

    private var swiftFiles: [Repository.File] { repository.files.filter(\.isSwift) }

    private func expectNone(_ violations: [String], _ rule: String, at location: SourceLocation = #_sourceLocation) {
        #expect(
            violations.isEmpty, "\(rule), \(violations.count) times:\n\(violations.joined(separator: "\n"))",
            sourceLocation: location)
    }

    @Test func `there is something to check`() {
        #expect(swiftFiles.count > 50)
        #expect(repository.targetFolders.contains("Sources/Model"))
        #expect(repository.files.contains { $0.path == "Package.swift" })
    }

    @Test func `arrows between targets point down only`() {
        let own = Set(Architecture.mayImport.keys).union(["Commands", "CCurl", "CGit2", "CIsolation"])
            .union(repository.files.compactMap(\.target))
        var violations: [String] = []
        for file in swiftFiles {
            guard let target = file.target, let allowed = Architecture.mayImport[target] else { continue }
            for (line, module) in file.imports where own.contains(module) && !allowed.contains(module) {
                violations.append("\(file.path):\(line): \(target) imports \(module)")
            }
        }
        expectNone(violations, "a target imports what is not below it")
    }

    @Test func `what is outside is known to one target each`() {
        var violations: [String] = []
        for file in swiftFiles {
            guard let target = file.target else { continue }
            for (line, module) in file.imports {
                for (reserved, targets) in Architecture.reserved
                where module.hasPrefix(reserved) && !targets.contains(target) {
                    violations.append("\(file.path):\(line): \(module) belongs to \(targets.sorted())")
                }
            }
        }
        expectNone(violations, "a module is imported outside of its target")
    }

    @Test func `C libraries are not shown to others`() {
        var violations: [String] = []
        for file in swiftFiles where file.target != nil {
            for (line, module) in file.imports where ["CCurl", "CGit2", "CPostgres", "CIsolation"].contains(module) {
                if !file.lines[line - 1].hasPrefix("internal import") {
                    violations.append("\(file.path):\(line): must be an internal import")
                }
            }
        }
        expectNone(violations, "a C library is imported so that others see it")
    }

    @Test func `pure targets do not reach the system`() {
        var violations: [String] = []
        for file in swiftFiles {
            guard let target = file.target, Architecture.pure.contains(target) else { continue }
            var banned: Set<String> = [
                "Dispatch", "Foundation", "FoundationNetworking", "Glibc", "Musl", "Synchronization",
            ]
            if Architecture.loaders.contains(target) { banned.remove("Glibc") }
            for (line, module) in file.imports where banned.contains(module) {
                violations.append("\(file.path):\(line): imports \(module)")
            }
        }
        expectNone(violations, "a pure target reaches the system")
    }

    @Test func `decisions depend on nothing but events`() throws {
        let patterns = try Architecture.impure.map { (try Regex($0.pattern), $0.what) }
        var violations: [String] = []
        for file in swiftFiles {
            guard let target = file.target, Architecture.replayed.contains(target) else { continue }
            for (index, line) in file.code.enumerated() {
                for (pattern, what) in patterns where line.contains(pattern) {
                    violations.append("\(file.path):\(index + 1): \(what): \(line.drop { $0 == " " })")
                }
            }
        }
        expectNone(violations, "a decision depends on more than its events")
    }

    @Test func `every import of ours says who sees it`() {
        var violations: [String] = []
        for file in swiftFiles where file.target != nil {
            for (line, module) in file.imports where file.lines[line - 1].hasPrefix("public import") {
                violations.append("\(file.path):\(line): public import \(module)")
            }
        }
        expectNone(violations, "something is imported publicly though the package has no public API")
    }

    @Test func `no line is over 120 columns`() {
        var violations: [String] = []
        for file in swiftFiles {
            // A byte count within the limit saves counting characters.
            for (index, line) in file.lines.enumerated()
            where line.utf8.count > Self.maxColumns && line.count > Self.maxColumns {
                violations.append("\(file.path):\(index + 1): \(line.count) columns")
            }
        }
        expectNone(violations, "a line is too long")
    }

    @Test func `no file is two things`() {
        let violations = swiftFiles.filter { $0.lines.count > Self.maxLines + 1 }.map {
            "\($0.path): \($0.lines.count - 1) lines"
        }
        expectNone(violations, "a file has over \(Self.maxLines) lines")
    }

    @Test func `every Swift file says under which license it is`() {
        let wanted = ["// SPDX-License-Identifier: Apache-2.0", "// SPDX-FileCopyrightText: Airboss contributors"]
        let violations = swiftFiles.filter { file in
            var lines = file.lines
            // The manifest's first line must name its tools version.
            if lines.first?.hasPrefix("// swift-tools-version") == true { lines.removeFirst() }
            return Array(lines.prefix(2)) != wanted
        }
        expectNone(violations.map(\.path), "a file has no SPDX header")
    }

    @Test func `every Swift file belongs to a target`() {
        let folders = repository.targetFolders
        let violations = swiftFiles.filter { file in
            let isOfPackage = file.path.hasPrefix("Sources/") || file.path.hasPrefix("Tests/")
            return isOfPackage && !folders.contains { file.path.hasPrefix($0 + "/") }
        }
        expectNone(violations.map(\.path), "a file's folder is not named in Package.swift")
    }

    @Test func `nothing is left unfinished`() {
        // Put together here, so that this file holds none of them.
        let markers = ["TO" + "DO", "FIX" + "ME", "HA" + "CK", "not " + "implemented", "un" + "implemented"]
        var violations: [String] = []
        for file in repository.files where !file.path.contains("/Fixtures/") {
            for (index, line) in file.lines.enumerated() {
                for marker in markers where line.contains(marker) {
                    let before = line.range(of: marker).map { line[..<$0.lowerBound].last } ?? nil
                    let after = line.range(of: marker).map { line[$0.upperBound...].first } ?? nil
                    guard before?.isLetter != true, after?.isLetter != true else { continue }
                    violations.append("\(file.path):\(index + 1): \(marker)")
                }
            }
        }
        expectNone(violations, "a marker of unfinished work")
    }

    @Test func `no path of somebody's machine`() {
        let paths = ["/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/main", "/wo" + "rk/shared", "/tm" + "p/dev"]
        var violations: [String] = []
        for file in repository.files {
            for (index, line) in file.lines.enumerated() {
                for path in paths where line.contains(path) { violations.append("\(file.path):\(index + 1): \(path)") }
            }
        }
        expectNone(violations, "a path of one machine")
    }

    @Test func `what the compiler can't check says why it holds`() {
        let words = ["try" + "!", "@unchecked " + "Sendable", "nonisolated" + "(unsafe)", "unsafe" + "BitCast"]
        var violations: [String] = []
        for file in swiftFiles {
            for (index, line) in file.code.enumerated() {
                for word in words where line.contains(word) {
                    let previous = index > 0 ? file.lines[index - 1].drop { $0 == " " } : ""
                    // A declaration and its attribute may stand between.
                    let isExplained = file.lines[index].contains("//") || previous.hasPrefix("//")
                    if !isExplained { violations.append("\(file.path):\(index + 1): \(word)") }
                }
            }
        }
        expectNone(violations, "an unchecked promise without its reason")
    }
}
