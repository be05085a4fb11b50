// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation

/// The repository's own files, as the tidy tests read them.
struct Repository {
    struct File {
        /// Relative to the root: `Sources/Model/Commit.swift`.
        var path: String
        var lines: [String]

        var isSwift: Bool { path.hasSuffix(".swift") }

        /// `Model` of `Sources/Model/Commit.swift`; nil outside of `Sources`.
        var target: String? {
            let parts = path.split(separator: "/")
            return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
        }

        /// The lines without their comments and without what stands in string literals of one line.
        var code: [String] { lines.map(File.code(of:)) }

        /// The modules the file imports, each with the number of its line.
        var imports: [(line: Int, module: String)] {
            lines.enumerated().compactMap { index, line in
                var words = line.split(separator: " ")
                if let first = words.first,
                    ["internal", "package", "public", "private", "fileprivate", "@testable"].contains(first)
                {
                    words.removeFirst()
                }
                guard words.first == "import", words.count > 1 else { return nil }
                let kinds: Set<Substring> = ["struct", "enum", "class", "protocol", "func", "typealias", "var", "let"]
                let name = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
                return (index + 1, String(name.prefix { $0 != "." }))
            }
        }

        private static func code(of line: String) -> String {
            var result = ""
            var isInString = false
            var previous: Character = " "
            for character in line {
                if character == "\"", previous != "\\" {
                    isInString.toggle()
                } else if !isInString {
                    if character == "/", previous == "/" { return String(result.dropLast()) }
                    result.append(character)
                }
                previous = character
            }
            return result
        }
    }

    var root: URL
    var files: [File]
    var manifest: String

    /// Kinds of files that people write by hand.
    private static let kinds: Set<String> = ["swift", "c", "h", "md", "sh", "yml", "yaml", "toml", "json", "modulemap"]
    private static let foldersLeftOut: Set<String> = [".build", ".git", ".swiftpm", ".airboss", "demo"]

    init(besides file: String = #filePath) throws {
        // A scratch package may hold links to the real folders; the real ones are meant.
        root = URL(fileURLWithPath: file).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        manifest = try String(contentsOf: root.appendingPathComponent("Package.swift"), encoding: .utf8)
        files = []
        for path in try Repository.paths(under: root.path).sorted() {
            let name = path.split(separator: "/").last ?? ""
            let isScript = path.hasPrefix("scripts/") || path.hasPrefix(".ci/")
            guard isScript || Repository.kinds.contains(String(name.split(separator: ".").last ?? "")) else { continue }
            let data = try Data(contentsOf: root.appendingPathComponent(path))
            guard let text = String(data: data, encoding: .utf8) else { continue }  // not text after all
            files.append(
                File(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)))
        }
    }

    private static func paths(under root: String, _ folder: String = "") throws -> [String] {
        var result: [String] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? root : "\(root)/\(folder)") {
            guard !foldersLeftOut.contains(name) else { continue }
            let path = folder.isEmpty ? name : "\(folder)/\(name)"
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: "\(root)/\(path)", isDirectory: &isFolder) else { continue }
            if isFolder.boolValue { result += try paths(under: root, path) } else { result.append(path) }
        }
        return result
    }

    /// The folders that the manifest makes targets of.
    var targetFolders: Set<String> {
        var folders: Set<String> = []
        for match in manifest.matches(of: /(room|tests\(of:|name:|path:)\s*\(?\s*"([^"]+)"/) {
            let name = String(match.2)
            switch match.1 {
            case "room": folders.insert("Sources/\(name)")
            case "tests(of:": folders.insert("Tests/\(name)Tests")
            case "path:": folders.insert(name)
            default: folders.formUnion(["Sources/\(name)", "Tests/\(name)"])
            }
        }
        return folders
    }
}
