// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// The credentials of `FLY_API_TOKEN`; nothing that describes them shows them.
///
/// Source: fly-go's `tokens` package. Macaroons (`fm1r_`, `fm1a_`, `fm2_`) go under the scheme `FlyV1`, everything
/// else under `Bearer`; a comma-joined list may hold both, and then the Machines API gets the macaroons alone.
package struct FlyToken: Sendable {
    private let macaroons: [String]
    private let userTokens: [String]

    package static let variable = "FLY_API_TOKEN"

    /// No token Fly hands out comes near; more is a mistake (a file, a log) and not worth sending.
    package static let maxTokenBytes = 64 * 1024
    /// A shorter text is no token of Fly's, and looking for it in messages would garble them.
    private static let minRedactedLength = 4

    /// Reads the text of the variable; throws an ``AirbossError`` of code `configuration` that does not show it.
    package init(_ text: String) throws(AirbossError) {
        func refused(_ why: String, _ hint: String) -> AirbossError {
            AirbossError(.configuration, "\(FlyToken.variable) \(why)", hint: hint)
        }
        let fresh = "Create one with `fly tokens create deploy --app APP` and store it exactly as printed."
        let value = FlyToken.withoutScheme(text)
        guard !value.isEmpty else { throw refused("is empty", fresh) }
        guard text.utf8.count <= FlyToken.maxTokenBytes else { throw refused("is too long to be a token", fresh) }
        guard !value.contains(where: \.isNewline) else {
            throw refused(
                "contains a line break",
                "Store it without one: `printf %s \"$TOKEN\"` instead of `echo`, or remove the last line's end.")
        }
        guard !value.contains(where: \.isWhitespace) else {
            throw refused("contains a space", "Store the token exactly as printed, without spaces or quotes.")
        }
        guard value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") }) else {
            throw refused("contains characters no token has", "Store the token exactly as printed, without quotes.")
        }
        let entries = value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard entries.allSatisfy({ !$0.isEmpty }) else {
            throw refused("has an empty entry in its list", "Remove the comma that has no token beside it.")
        }
        macaroons = entries.filter(FlyToken.isMacaroon)
        userTokens = entries.filter { !FlyToken.isMacaroon($0) }
    }

    /// Reads the variable out of an environment; throws as ``init(_:)`` does, also where it is unset.
    package init(environment: [String: String]) throws(AirbossError) {
        guard let text = environment[FlyToken.variable] else {
            throw AirbossError(
                .configuration, "\(FlyToken.variable) is not set",
                hint: "Create a token with `fly tokens create deploy --app APP` and set it in the environment.")
        }
        try self.init(text)
    }

    /// The `Authorization` of the Machines API and of the logs.
    package var machinesAuthorization: String {
        scheme + (macaroons.isEmpty ? userTokens : macaroons).joined(separator: ",")
    }

    /// The `Authorization` of the platform API, which takes macaroons and user tokens together.
    package var platformAuthorization: String {
        scheme + (macaroons + userTokens).joined(separator: ",")
    }

    /// The password of the registry; its user is `x`.
    package var registryPassword: String {
        (macaroons.isEmpty ? userTokens : macaroons).joined(separator: ",")
    }

    /// The text with every one of these tokens replaced, for messages that others wrote.
    package func redacting(_ text: String) -> String {
        (macaroons + userTokens).filter { $0.count >= FlyToken.minRedactedLength }
            .reduce(text) { $0.split(separator: $1, omittingEmptySubsequences: false).joined(separator: "[token]") }
    }

    private var scheme: String { macaroons.isEmpty ? "Bearer " : "FlyV1 " }

    private static func isMacaroon(_ token: String) -> Bool {
        ["fm1r", "fm1a", "fm2"].contains(token.prefix { $0 != "_" })
    }

    /// The token without the schemes people copy along with it (`FlyV1 fm2_…`, `Authorization: Bearer …` halves).
    private static func withoutScheme(_ text: String) -> String {
        guard let space = text.firstIndex(of: " "),
            ["bearer", "flyv1"].contains(text[..<space].lowercased())
        else { return text }
        return withoutScheme(String(text[space...].drop { $0 == " " }))
    }
}

extension FlyToken: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "FlyToken(\(macaroons.count + userTokens.count) hidden)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
