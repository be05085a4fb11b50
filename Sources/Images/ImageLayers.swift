// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a pipeline says about the image to assemble from a commit.
package struct ImageLayers: Hashable, Sendable {
    package enum Base: Hashable, Sendable {
        /// Nothing: the copied files are all there is.
        case scratch
        /// The layers and settings of an image in a registry.
        case image(reference: ImageReference)
    }

    package struct Copy: Hashable, Sendable {
        /// A file or a folder of the commit; `.` is all of it.
        package var from: String
        /// Where a folder's content goes, or a file under its new name; with a slash at its end, the folder a file goes
        /// into. Relative to the working directory unless it starts with a slash.
        package var to: String
        /// The mode of the copied regular files (permission bits only); nil keeps git's 0644 or 0755.
        package var mode: UInt16?

        package init(from: String, to: String, mode: UInt16? = nil) {
            self.from = from
            self.to = to
            self.mode = mode
        }
    }

    package struct Platform: Hashable, Sendable, CustomStringConvertible {
        package var os: String
        package var architecture: String
        /// For instance `v8`; nil accepts any.
        package var variant: String?

        package init(os: String, architecture: String, variant: String? = nil) {
            self.os = os
            self.architecture = architecture
            self.variant = variant
        }

        package static let linuxAMD64 = Platform(os: "linux", architecture: "amd64")

        package var description: String {
            os + "/" + architecture + (variant.map { "/" + $0 } ?? "")
        }
    }

    package var base: Base
    /// One layer each, in this order.
    package var copies: [Copy]
    /// nil keeps the base's. An entrypoint of its own drops the base's cmd, as with every other image builder.
    package var entrypoint: [String]?
    /// nil keeps the base's.
    package var cmd: [String]?
    package var env: [String: String]
    /// Absolute; nil keeps the base's, or `/`.
    package var workdir: String?
    package var user: String?
    package var labels: [String: String]
    /// `8080`, `8080/tcp` or `53/udp`.
    package var exposedPorts: [String]
    package var platform: Platform

    package init(
        base: Base = .scratch, copies: [Copy] = [], entrypoint: [String]? = nil, cmd: [String]? = nil,
        env: [String: String] = [:], workdir: String? = nil, user: String? = nil, labels: [String: String] = [:],
        exposedPorts: [String] = [], platform: Platform = .linuxAMD64
    ) {
        self.base = base
        self.copies = copies
        self.entrypoint = entrypoint
        self.cmd = cmd
        self.env = env
        self.workdir = workdir
        self.user = user
        self.labels = labels
        self.exposedPorts = exposedPorts
        self.platform = platform
    }

    /// Throws `invalidLayers` for what is wrong whatever the commit holds.
    package func validate() throws(ImageError) {
        func invalid(_ message: String, hint: String = "") -> ImageError {
            ImageError(.invalidLayers, message, hint: hint)
        }
        if base == .scratch, copies.isEmpty {
            throw invalid("an image on `scratch` needs at least one copy", hint: "Name the files under `copy`.")
        }
        for copy in copies {
            if let mode = copy.mode, mode > 0o777 {
                throw invalid("the mode of “\(copy.from)” has more than permission bits", hint: "Use for instance 755.")
            }
        }
        if let workdir, !workdir.hasPrefix("/") {
            throw invalid("the working directory “\(workdir)” is not absolute", hint: "Write “/\(workdir)”.")
        }
        for name in env.keys where name.isEmpty || name.contains("=") || name.contains("\0") {
            throw invalid("“\(name)” can't be the name of an environment variable")
        }
        for port in exposedPorts where ImageLayers.canonicalPort(port) == nil {
            throw invalid("“\(port)” is no port", hint: "Write for instance 8080, 8080/tcp or 53/udp.")
        }
        for (name, words) in [("entrypoint", entrypoint), ("cmd", cmd)] {
            if words?.first == "" { throw invalid("the first word of \(name) is empty") }
        }
    }

    /// `8080/tcp`, or nil where the text is no port.
    static func canonicalPort(_ text: String) -> String? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let number = UInt16(parts[0]), number > 0, parts[0].utf8.first != UInt8(ascii: "+")
        else { return nil }
        let transport = parts.count == 2 ? String(parts[1]) : "tcp"
        guard ["tcp", "udp", "sctp"].contains(transport) else { return nil }
        return "\(number)/\(transport)"
    }
}
