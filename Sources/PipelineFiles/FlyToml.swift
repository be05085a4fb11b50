// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// An app's fly.toml, read into the pieces of machine configs that each process group takes.
package struct FlyToml: Hashable, Codable, Sendable {
    /// A piece of a machine config, and the groups it is for; none named means the default group.
    struct Piece: Hashable, Codable, Sendable {
        var json: JSONValue
        var processes: [String]
    }

    struct Check: Hashable, Codable, Sendable {
        var name: String
        var piece: Piece
    }

    package var path: String
    /// The app the file names; nil where it names none.
    package var app: AppName?
    package var primaryRegion: String?
    /// The file's own environment variables, before those that flyctl adds.
    package var environment: [String: String]
    /// The words of each group's command; empty where the image's own command runs.
    package var processes: [ProcessGroup: [String]]
    /// Things that are allowed and probably not meant.
    package var warnings: [Diagnostic]

    var killSignal: String?
    /// In Go's notation.
    var killTimeout: String?
    var swapMegabytes: Int?
    var entrypoint: [String]?
    var exec: [String]?
    var command: [String]?
    var httpService: Piece?
    var services: [Piece]
    var checks: [Check]
    var mounts: [Piece]
    var metrics: [Piece]
    var files: [Piece]
    var restarts: [Piece]
    var guests: [Piece]
    var statics: [JSONValue]

    /// The process groups in the order of their names; `app` where the file names none.
    package var groups: [ProcessGroup] {
        processes.isEmpty ? ["app"] : processes.keys.sorted()
    }

    /// The group that takes what names no group: `app` if there is one, else the first by name.
    package var defaultGroup: ProcessGroup {
        groups.contains("app") ? "app" : groups[0]
    }

    /// Whether machines of the group take traffic from Fly's proxy.
    package func hasServices(_ group: ProcessGroup) -> Bool {
        services(of: group).isEmpty == false
    }

    /// The name of the volume each machine of the group needs; nil where it needs none.
    package func volumeName(of group: ProcessGroup) -> String? {
        mounts.first { isFor(group, $0) }?.json["name"]?.string
    }

    /// How many machines a first deployment makes where the pipeline states no count: two that take traffic, so that
    /// one can be replaced under load, and one of anything else, which may not bear a twin.
    package func defaultMachineCount(for group: ProcessGroup) -> Int {
        hasServices(group) && volumeName(of: group) == nil ? 2 : 1
    }

    /// Where the public reaches the app; nil where no service listens on a web port.
    package var publicURL: String? {
        guard let app else { return nil }
        let ports = groups.flatMap { services(of: $0) }.flatMap { $0["ports"]?.array ?? [] }
        func isOpen(_ port: Int, tls: Bool) -> Bool {
            ports.contains { entry in
                let handlers = (entry["handlers"]?.array ?? []).compactMap(\.string)
                return entry["port"]?.integer == port && handlers.contains("http") && handlers.contains("tls") == tls
            }
        }
        if isOpen(443, tls: true) { return "https://\(app).fly.dev" }
        return isOpen(80, tls: false) ? "http://\(app).fly.dev" : nil
    }

    /// The secrets that files of machines are made of, with the files, in order.
    package var fileSecrets: [(name: String, path: String)] {
        files.compactMap { file in
            file.json["secret_name"]?.string.map { (name: $0, path: file.json["guest_path"]?.string ?? "") }
        }.sorted { ($0.name, $0.path) < ($1.name, $1.path) }
    }

    func isFor(_ group: ProcessGroup, _ piece: Piece) -> Bool {
        piece.processes.isEmpty ? group == defaultGroup : piece.processes.contains(group.rawValue)
    }

    func services(of group: ProcessGroup) -> [JSONValue] {
        ([httpService].compactMap(\.self) + services).filter { isFor(group, $0) }.map(\.json)
    }
}
