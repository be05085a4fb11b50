// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc

/// Layers of an image laid over each other. Each is unpacked into a folder of its own, so that no link of a lower
/// layer can lead the next one's files out of the tree; then it is moved onto the lower ones, whose folders are
/// entered only where they are folders and not links. Source: OCI image specification 1.1, "Applying Changesets".
enum LayerMerge {
    private static let whiteout = ".wh."
    private static let opaque = ".wh..wh..opq"

    /// Unpacks one layer (tar, plain or compressed with gzip or zstd). Blocks.
    static func extract(_ archive: String, to folder: String) throws {
        let isRoot = geteuid() == 0
        var arguments = ["tar", "--extract", "--file", archive, "--directory", folder]
        arguments += ["--numeric-owner", "--same-permissions", "--delay-directory-restore", "--warning=no-timestamp"]
        arguments.append(isRoot ? "--same-owner" : "--no-same-owner")
        switch try magic(of: archive) {
        case let bytes where bytes.starts(with: [0x1F, 0x8B]): arguments.append("--gzip")
        case let bytes where bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD]): arguments.append("--zstd")
        default: break
        }
        guard let message = try Launch.run(arguments) else { return }
        let lines = message.split(separator: "\n")
        // Devices can't be made without root, and a guest gets its own anyway.
        let isHarmless = !isRoot && lines.allSatisfy { $0.contains("Cannot mknod") || $0.contains("previous errors") }
        if !isHarmless { throw GuestProblem("a layer of the image cannot be unpacked: \(lines.first ?? "")") }
    }

    private static func magic(of path: String) throws -> [UInt8] {
        let handle = open(path, O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { throw GuestProblem("a layer of the image is missing: \(describe(errno))") }
        defer { close(handle) }
        var bytes = [UInt8](repeating: 0, count: 4)
        let count = bytes.withUnsafeMutableBytes { read(handle, $0.baseAddress, $0.count) }
        return Array(bytes.prefix(max(0, count)))
    }

    /// Moves what is in `layer` onto `root`, and removes from `root` what the layer's whiteouts name. Blocks.
    static func apply(_ layer: String, to root: String) throws {
        try openUp(layer)
        let names = try list(layer)
        if names.contains(opaque) {
            for name in try list(root) { remove(root + "/" + name) }
        }
        for name in names where name.hasPrefix(whiteout) && name != opaque {
            let hidden = String(name.dropFirst(whiteout.count))
            // A name like `..` would reach outside.
            guard !hidden.isEmpty, hidden != ".", hidden != ".." else { continue }
            remove(root + "/" + hidden)
        }
        for name in names where !name.hasPrefix(whiteout) {
            let source = layer + "/" + name
            let target = root + "/" + name
            let isFolder = kind(source) == S_IFDIR
            switch kind(target) {
            case S_IFDIR? where isFolder:
                try copyAttributes(of: source, to: target)
                try apply(source, to: target)
                continue
            case nil:
                break
            default:
                remove(target)
            }
            if isFolder { try strip(source) }
            guard rename(source, target) == 0 else {
                throw GuestProblem("a layer of the image cannot be applied: \(name): \(describe(errno))")
            }
        }
    }

    /// Removes whiteouts from a folder that lies over nothing.
    private static func strip(_ folder: String) throws {
        try openUp(folder)
        for name in try list(folder) {
            let path = folder + "/" + name
            if name.hasPrefix(whiteout) {
                remove(path)
            } else if kind(path) == S_IFDIR {
                try strip(path)
            }
        }
    }

    /// Without root, a folder must be writable for its entries to be moved.
    fileprivate static func openUp(_ folder: String) throws {
        guard geteuid() != 0 else { return }
        var information = stat()
        guard lstat(folder, &information) == 0, information.st_mode & 0o700 != 0o700 else { return }
        chmod(folder, (information.st_mode & 0o7777) | 0o700)
    }

    private static func copyAttributes(of source: String, to target: String) throws {
        var information = stat()
        guard lstat(source, &information) == 0 else { return }
        let owned = geteuid() != 0 || lchown(target, information.st_uid, information.st_gid) == 0
        guard owned, chmod(target, information.st_mode & 0o7777) == 0 else {
            throw GuestProblem("a layer of the image cannot be applied: \(describe(errno))")
        }
        try openUp(target)
    }

    /// The kind of what is there, links not followed; nil where nothing is.
    fileprivate static func kind(_ path: String) -> mode_t? {
        var information = stat()
        guard lstat(path, &information) == 0 else { return nil }
        return information.st_mode & S_IFMT
    }

    fileprivate static func list(_ folder: String) throws -> [String] {
        guard let stream = opendir(folder) else {
            throw GuestProblem("a layer of the image cannot be read: \(describe(errno))")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}

/// Removes a tree without following links; what cannot be removed stays, and costs only its room. Folders are opened
/// up on the way: the kernel leaves an overlay's work folder without any permission. Blocks.
func remove(_ path: String) {
    guard LayerMerge.kind(path) == S_IFDIR else {
        unlink(path)
        return
    }
    do {
        try LayerMerge.openUp(path)
        for name in try LayerMerge.list(path) { remove(path + "/" + name) }
    } catch {
        // It cannot be read: rmdir may still find it empty.
    }
    rmdir(path)
}
