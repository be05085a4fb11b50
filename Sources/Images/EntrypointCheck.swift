// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Model
internal import Synchronization

/// Whether the program an image starts is in it and executable, as far as the commit's files can tell.
///
/// On a base image a program that is not among the copied files is taken to be the base's.
struct EntrypointCheck: Sendable {
    /// As Linux: more links than these are a loop.
    static let maxLinks = 40

    var plan: LayerPlan
    var config: ImageConfig
    var isScratch: Bool
    var source: any TreeSource

    /// Throws `entrypointMissing` or `entrypointNotExecutable`, or what the source throws.
    func run() async throws {
        // A bare word is looked up in PATH when the machine starts, where the base's folders count too.
        guard let program = config.command.first, program.utf8.contains(TreePath.slash) else { return }
        let workdir = TreePath.resolving((config.workdir ?? "/").utf8) ?? TreePath(bytes: [])
        guard let start = TreePath.resolving(program.utf8, in: workdir) else { throw missing(program, nil) }
        guard let entry = try await follow(start, program) else {
            if isScratch { throw missing(program, start) }
            return
        }
        switch entry.kind {
        case .file(let content, let mode):
            guard mode & 0o111 != 0 else {
                throw ImageError(
                    .entrypointNotExecutable, "the entrypoint “\(program)” is not executable in the image",
                    hint:
                        "Run `git update-index --chmod=+x \(content.path)` and commit, or give the copy the mode 755."
                )
            }
        case .directory:
            throw ImageError(
                .entrypointNotExecutable, "the entrypoint “\(program)” is a folder",
                hint: "Name the program in it.")
        case .symlink: return
        }
    }

    /// The file at the end of all links; nil where it is not among the copied files.
    private func follow(_ start: TreePath, _ program: String) async throws -> LayerPlan.Entry? {
        var path = start
        for _ in 0..<EntrypointCheck.maxLinks {
            guard let (link, rest) = firstLink(on: path) else { return plan.files[path] }
            let target = try await LayerWriter.target(of: link.entry, in: source)
            // A link above the root stays at the root, as Linux has it.
            guard let folder = link.path.parent,
                let next = TreePath.resolving(target + [TreePath.slash] + rest.bytes, in: folder)
            else { return nil }
            path = next
        }
        throw ImageError(
            .entrypointMissing, "the entrypoint “\(program)” is a loop of symlinks", hint: "Point it to the program.")
    }

    /// The first link on the way to a path, and what follows it.
    private func firstLink(on path: TreePath) -> (link: (path: TreePath, entry: TreeEntry), rest: TreePath)? {
        for step in LayerPlan.ancestors(of: path) + [path] {
            if case .symlink(let entry) = plan.files[step]?.kind {
                return ((step, entry), path.relative(to: step) ?? TreePath(bytes: []))
            }
        }
        return nil
    }

    private func missing(_ program: String, _ path: TreePath?) -> ImageError {
        let names = Nearest.names(
            to: path?.text ?? program, among: plan.files.values.filter { !$0.isDirectory }.map { $0.path.text })
        let nearest = names.map { "“/\($0)”" }.joined(separator: ", ")
        return ImageError(
            .entrypointMissing, "the entrypoint “\(program)” is not in the image",
            hint: nearest.isEmpty ? "Copy the program into the image." : "Nearest: \(nearest).")
    }
}
