// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The config of an image: what is started, where and as whom. What Airboss does not know is kept.
package struct ImageConfig: Hashable, Sendable {
    package var json: JSONValue

    package init(_ json: JSONValue) {
        self.json = json
    }

    package var entrypoint: [String] { words("Entrypoint") }
    package var cmd: [String] { words("Cmd") }
    /// `NAME=VALUE`, in the image's order.
    package var env: [String] { words("Env") }
    package var workdir: String? { json["config"]?["WorkingDir"]?.string }
    package var user: String? { json["config"]?["User"]?.string }
    package var labels: [String: String] { (json["config"]?["Labels"]?.object ?? [:]).compactMapValues(\.string) }
    package var exposedPorts: [String] { (json["config"]?["ExposedPorts"]?.object ?? [:]).keys.sorted() }
    package var diffIDs: [String] { (json["rootfs"]?["diff_ids"]?.array ?? []).compactMap(\.string) }
    package var platform: ImageLayers.Platform {
        ImageLayers.Platform(
            os: json["os"]?.string ?? "", architecture: json["architecture"]?.string ?? "",
            variant: json["variant"]?.string)
    }

    /// The words a container starts with.
    package var command: [String] { entrypoint + cmd }

    private func words(_ name: String) -> [String] {
        (json["config"]?[name]?.array ?? []).compactMap(\.string)
    }

    /// Throws `noCommand`; `name` is for the message.
    package func requireCommand(name: String) throws(ImageError) {
        guard command.contains(where: { !$0.isEmpty }) else {
            throw ImageError(
                .noCommand, "\(name) has neither an entrypoint nor a cmd, so there is nothing to start",
                hint: "Name the program under `entrypoint` of `layers`, or as ENTRYPOINT in the image's Dockerfile.")
        }
    }

    /// The config of an image of some layers over a base.
    init(
        _ description: ImageLayers, base: ImageConfig?, created: Timestamp,
        layers: [(title: String, diffID: ImageDigest)]
    ) {
        var json: JSONValue = base?.json ?? .object([:])
        let time = JSONValue.string(Timestamp(secondsSinceEpoch: created.secondsSinceEpoch).description)
        json["created"] = time
        json["os"] = .string(description.platform.os)
        json["architecture"] = .string(description.platform.architecture)
        if let variant = description.platform.variant { json["variant"] = .string(variant) }
        json["config"] = .object(ImageConfig.settings(description, base: base))
        json["rootfs"] = [
            "type": "layers",
            "diff_ids": .array(
                (base?.diffIDs ?? []).map(JSONValue.string) + layers.map { .string($0.diffID.rawValue) }),
        ]
        let ours = layers.map { layer -> JSONValue in
            ["created": time, "created_by": .string("airboss: " + layer.title)]
        }
        json["history"] = .array((base?.json["history"]?.array ?? []) + ours)
        self.json = json
    }

    private static func settings(_ description: ImageLayers, base: ImageConfig?) -> [String: JSONValue] {
        func list(_ words: [String]) -> JSONValue { .array(words.map(JSONValue.string)) }
        var settings = base?.json["config"]?.object ?? [:]
        if let entrypoint = description.entrypoint {
            settings["Entrypoint"] = entrypoint.isEmpty ? nil : list(entrypoint)
            settings["Cmd"] = nil
        }
        if let cmd = description.cmd { settings["Cmd"] = cmd.isEmpty ? nil : list(cmd) }
        var env = base?.env ?? []
        for (name, value) in description.env.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            let setting = name + "=" + value
            if let index = env.firstIndex(where: { $0.utf8.starts(with: (name + "=").utf8) }) {
                env[index] = setting
            } else {
                env.append(setting)
            }
        }
        if !env.isEmpty { settings["Env"] = list(env) }
        if let workdir = description.workdir { settings["WorkingDir"] = .string(workdir) }
        if let user = description.user { settings["User"] = .string(user) }
        let labels = (base?.labels ?? [:]).merging(description.labels) { _, new in new }
        if !labels.isEmpty { settings["Labels"] = .object(labels.mapValues(JSONValue.string)) }
        let ports = (base?.exposedPorts ?? []) + description.exposedPorts.compactMap(ImageLayers.canonicalPort)
        if !ports.isEmpty {
            settings["ExposedPorts"] = .object(Dictionary(ports.map { ($0, .object([:])) }) { first, _ in first })
        }
        return settings
    }
}
