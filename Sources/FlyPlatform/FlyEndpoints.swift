// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
package import Model

/// Where Fly's services are: the real ones, or the stand-ins that flyctl's own variables name.
package struct FlyEndpoints: Hashable, Sendable {
    /// The Machines API without `/v1` and without a slash at the end.
    package let machines: String
    /// The platform API (releases, logs, metrics) without a slash at the end.
    package let platform: String
    /// The registry as `host` or `host:port`.
    package let registryHost: String

    package static let machinesVariable = "FLY_FLAPS_BASE_URL"
    package static let platformVariable = "FLY_API_BASE_URL"
    package static let registryVariable = "FLY_REGISTRY_HOST"

    /// flyctl's defaults.
    package static let defaultMachines = "https://api.machines.dev"
    package static let defaultPlatform = "https://api.fly.io"
    package static let defaultRegistryHost = "registry.fly.io"

    /// Checks three texts; throws an ``AirbossError`` of code `configuration` that names the variable at fault.
    package init(
        machines: String = FlyEndpoints.defaultMachines, platform: String = FlyEndpoints.defaultPlatform,
        registryHost: String = FlyEndpoints.defaultRegistryHost
    ) throws(AirbossError) {
        self.machines = try FlyEndpoints.base(machines, FlyEndpoints.machinesVariable)
        self.platform = try FlyEndpoints.base(platform, FlyEndpoints.platformVariable)
        self.registryHost = try FlyEndpoints.registry(registryHost)
        if self.machines.hasSuffix("/v1") {
            throw AirbossError(
                .configuration, "\(FlyEndpoints.machinesVariable) ends in /v1, which is added to it",
                hint: "Leave /v1 out, as for flyctl: \(self.machines.dropLast(3)).")
        }
    }

    /// Reads the variables flyctl reads; one that is unset or empty means the default.
    package init(environment: [String: String]) throws(AirbossError) {
        func value(_ name: String, _ fallback: String) -> String {
            guard let value = environment[name], !value.isEmpty else { return fallback }
            return value
        }
        try self.init(
            machines: value(FlyEndpoints.machinesVariable, FlyEndpoints.defaultMachines),
            platform: value(FlyEndpoints.platformVariable, FlyEndpoints.defaultPlatform),
            registryHost: value(FlyEndpoints.registryVariable, FlyEndpoints.defaultRegistryHost))
    }

    private static func base(_ text: String, _ variable: String) throws(AirbossError) -> String {
        func refused(_ why: String, _ hint: String) -> AirbossError {
            // The value itself stays out of the message: it may hold a password.
            AirbossError(.configuration, "\(variable) \(why)", hint: hint)
        }
        let example = "Write it like http://127.0.0.1:4280 or leave it unset for Fly itself."
        guard isPlain(text), let parts = URLComponents(string: text), let host = parts.host, !host.isEmpty,
            let scheme = parts.scheme?.lowercased(), scheme == "http" || scheme == "https"
        else { throw refused("is not an http or https URL", example) }
        guard parts.user == nil, parts.password == nil else {
            throw refused("holds a user name or password", "Credentials belong in FLY_API_TOKEN only.")
        }
        guard parts.query == nil, parts.fragment == nil else {
            throw refused("has a query or a fragment, which a base URL cannot have", example)
        }
        guard scheme == "https" || isNearby(host.lowercased()) else {
            throw refused(
                "would send the token unencrypted to \(host)",
                "Use https; http is for this machine, private networks and names ending in .internal.")
        }
        var base = Substring(text)
        while base.hasSuffix("/") { base.removeLast() }
        return String(base)
    }

    private static func registry(_ text: String) throws(AirbossError) -> String {
        let parts = isPlain(text) ? URLComponents(string: "https://" + text) : nil
        guard let parts, let host = parts.host, !host.isEmpty, parts.path.isEmpty, parts.user == nil,
            parts.password == nil, parts.query == nil, parts.fragment == nil, !text.contains("@"),
            !text.hasSuffix(":")
        else {
            throw AirbossError(
                .configuration, "\(registryVariable) is not a host name or host:port",
                hint: "Write it without a scheme and without a path, like \(defaultRegistryHost) or 127.0.0.1:5000.")
        }
        return text
    }

    private static func isPlain(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    /// Whether a host is this machine or in a private network, where a token may travel unencrypted.
    private static func isNearby(_ host: String) -> Bool {
        if host.contains(":") {
            let address = host.drop { $0 == "[" }
            return address.hasPrefix("::1") || address.hasPrefix("fd") || address.hasPrefix("fe80:")
        }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let octets = labels.compactMap { UInt8($0) }
        if labels.count == 4, octets.count == 4 {
            return switch (octets[0], octets[1]) {
            case (127, _), (10, _), (192, 168), (169, 254), (172, 16...31): true
            default: false
            }
        }
        return labels.count == 1 || labels.last == "internal" || labels.last == "localhost"
    }
}
