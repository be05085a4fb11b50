// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Which file of a commit lands where in an image: pure, so that every refusal comes before a byte is read.
struct LayerPlan: Sendable {
    struct Entry: Sendable {
        enum Kind: Sendable {
            case directory
            case file(entry: TreeEntry, mode: UInt16)
            case symlink(entry: TreeEntry)
        }

        var path: TreePath
        var kind: Kind

        var isDirectory: Bool {
            if case .directory = kind { true } else { false }
        }
    }

    struct Layer: Sendable {
        /// For the image's history.
        var title: String
        /// In byte order of their paths.
        var entries: [Entry]
    }

    var layers: [Layer]
    /// What the layers together hold, later ones over earlier ones.
    var files: [TreePath: Entry]

    /// The most entries an image may take from a commit.
    static let maxEntries = 1_000_000
    static let directoryMode: UInt16 = 0o755

    /// Throws ``ImageError``. `baseWorkdir` is the base image's working directory.
    init(
        layers description: ImageLayers, entries: [TreeEntry], baseWorkdir: String? = nil
    ) throws(ImageError) {
        layers = []
        files = [:]
        let tree = try LayerPlan.checked(entries)
        let workdirText = description.workdir ?? baseWorkdir ?? "/"
        guard let workdir = TreePath.resolving(workdirText.utf8) else {
            throw ImageError(.copyTargetOutsideRoot, "the working directory “\(workdirText)” leaves the image's root")
        }
        let isScratch = description.base == .scratch
        for copy in description.copies {
            let placed = try LayerPlan.place(copy, of: tree, workdir: workdir)
            layers.append(try add(placed, from: copy, createsParents: isScratch))
        }
        // On scratch nobody else makes the folder the program starts in.
        if isScratch, !workdir.bytes.isEmpty, files[workdir] == nil, let last = layers.indices.last {
            for path in LayerPlan.ancestors(of: workdir) + [workdir] where files[path] == nil {
                let entry = Entry(path: path, kind: .directory)
                files[path] = entry
                layers[last].entries.append(entry)
            }
            layers[last].entries.sort { $0.path < $1.path }
        }
    }

    // MARK: The commit's side

    private typealias Tree = [(path: TreePath, entry: TreeEntry)]

    /// The entries with their paths, in byte order; a tree git would not check out is refused.
    private static func checked(_ entries: [TreeEntry]) throws(ImageError) -> Tree {
        guard entries.count <= maxEntries else {
            throw ImageError(
                .tooLarge, "the commit has \(entries.count) files, more than the \(maxEntries) an image takes")
        }
        let tree = entries.map { (path: TreePath(bytes: $0.path.utf8), entry: $0) }.sorted { $0.path < $1.path }
        var previous: TreePath?
        for (path, _) in tree {
            let isUnsafe = path.components.contains { component in
                component.isEmpty || component.elementsEqual(".".utf8) || component.elementsEqual("..".utf8)
                    || component.contains(0)
            }
            guard !path.bytes.isEmpty, !isUnsafe, path != previous else {
                throw ImageError(
                    .unsafePath, "the commit holds the path “\(path.text)”, which can't be a file of an image",
                    hint: "Such a tree was not made by git; look at the commit with `git ls-tree -r`.")
            }
            previous = path
        }
        return tree
    }

    /// Where each matched file of a copy goes, and the folder it was copied to.
    private struct Placement {
        var target: TreePath
        var files: [(path: TreePath, entry: TreeEntry)]
        var isFolder: Bool
    }

    private static func place(
        _ copy: ImageLayers.Copy, of tree: Tree, workdir: TreePath
    ) throws(ImageError) -> Placement {
        guard let source = TreePath.resolving(copy.from.utf8), !copy.from.hasPrefix("/"), !copy.from.isEmpty else {
            throw ImageError(
                .copySourceMissing, "`from: \(copy.from)` is not a path inside the commit",
                hint: "Paths start at the repository's root: `dist`, or `.` for everything.")
        }
        guard let target = TreePath.resolving(copy.to.utf8, in: workdir), !copy.to.isEmpty else {
            throw ImageError(
                .copyTargetOutsideRoot, "`to: \(copy.to)` is not a path inside the image",
                hint: "Targets start at the image's root, for instance `/app`, and can't leave it with `..`.")
        }
        let single = tree.first { $0.path == source && $0.entry.kind != .submodule }
        if let single, !copy.from.hasSuffix("/") {
            let goesInto = copy.to.hasSuffix("/") || target.bytes.isEmpty
            let path = goesInto ? target.appending(TreePath(bytes: source.name)) : target
            return Placement(
                target: goesInto ? target : target.parent ?? target, files: [(path, single.entry)], isFolder: false)
        }
        var placed: [(path: TreePath, entry: TreeEntry)] = []
        for (path, entry) in tree {
            let relative = path.relative(to: source)
            if entry.kind == .submodule, relative != nil || path == source || source.relative(to: path) != nil {
                throw ImageError(
                    .submodule,
                    "“\(path.text)”, which `from: \(copy.from)` copies, is a submodule: its files are in "
                        + "another repository",
                    hint: "Copy folders without submodules, or put the files into this repository.")
            }
            if let relative { placed.append((target.appending(relative), entry)) }
        }
        guard !placed.isEmpty else { throw missing(copy, in: tree) }
        return Placement(target: target, files: placed, isFolder: true)
    }

    private static func missing(_ copy: ImageLayers.Copy, in tree: Tree) -> ImageError {
        var candidates: Set<TreePath> = []
        for (path, _) in tree {
            candidates.insert(path)
            candidates.formUnion(ancestors(of: path))
        }
        let nearest = Nearest.names(to: copy.from, among: candidates.map(\.text))
        let names = nearest.map { "“\($0)”" }.joined(separator: ", ")
        return ImageError(
            .copySourceMissing, "`from: \(copy.from)` matches nothing in the commit",
            hint: (nearest.isEmpty ? "" : "Nearest: \(names). ")
                + "Files are taken from the commit, not from the work tree: what .gitignore names is not in it.")
    }

    /// The folders above a path, from the top, without the root.
    static func ancestors(of path: TreePath) -> [TreePath] {
        var result: [TreePath] = []
        var next = path.parent
        while let folder = next, !folder.bytes.isEmpty {
            result.append(folder)
            next = folder.parent
        }
        return result.reversed()
    }

    // MARK: The image's side

    /// One copy's layer. On a base image only folders *beneath* the target get an entry: one for the target or above
    /// would replace what the base has there, say a link from /lib to /usr/lib, or /tmp's mode.
    private mutating func add(
        _ placed: Placement, from copy: ImageLayers.Copy, createsParents: Bool
    ) throws(ImageError) -> Layer {
        var entries: [TreePath: Entry] = [:]
        for (path, entry) in placed.files {
            if path.components.contains(where: { $0.starts(with: ".wh.".utf8) }) {
                throw ImageError(
                    .unsafePath, "“\(entry.path)” can't be in an image: names starting with .wh. mean deletion there",
                    hint: "Rename it, or copy a folder without it. Source: OCI image specification, layer, whiteouts.")
            }
            for folder in LayerPlan.ancestors(of: path) {
                guard createsParents || (placed.isFolder && folder.relative(to: placed.target) != nil) else { continue }
                entries[folder] = Entry(path: folder, kind: .directory)
            }
            let regular: UInt16 = copy.mode ?? (entry.kind == .executable ? 0o755 : 0o644)
            let kind: Entry.Kind =
                entry.kind == .symlink ? .symlink(entry: entry) : .file(entry: entry, mode: regular)
            guard entries.updateValue(Entry(path: path, kind: kind), forKey: path) == nil else {
                throw LayerPlan.conflict(path, copy)
            }
        }
        for (path, entry) in entries {
            if let old = files[path], old.isDirectory != entry.isDirectory { throw LayerPlan.conflict(path, copy) }
            for folder in LayerPlan.ancestors(of: path) {
                if let old = files[folder], !old.isDirectory { throw LayerPlan.conflict(folder, copy) }
            }
        }
        files.merge(entries) { _, new in new }
        return Layer(
            title: "copy \(copy.from) to \(copy.to)", entries: entries.values.sorted { $0.path < $1.path })
    }

    private static func conflict(_ path: TreePath, _ copy: ImageLayers.Copy) -> ImageError {
        ImageError(
            .copyConflict, "copying “\(copy.from)” to “\(copy.to)” makes “/\(path.text)” both a file and a folder",
            hint: "Give the two copies different targets; a slash at the end of `to` copies a file into a folder.")
    }
}
