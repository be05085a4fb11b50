// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// One repository in one registry, as URLs. Source: OCI distribution specification 1.1.
struct RegistryEndpoint: Hashable, Sendable {
    /// `registry.example` or `127.0.0.1:5000`.
    let host: String
    let repository: String
    let scheme: String

    /// Throws `invalidReference` where the name would not be this host and this path.
    init(_ reference: ImageReference) throws(ImageError) {
        let isHost = reference.registry.utf8.allSatisfy { byte in
            (byte >= 0x61 && byte <= 0x7A) || (byte >= 0x41 && byte <= 0x5A) || (byte >= 0x30 && byte <= 0x39)
                || ".-:[]_".utf8.contains(byte)
        }
        let parts = reference.repository.split(separator: "/", omittingEmptySubsequences: false)
        let isRepository =
            reference.repository.utf8.count <= RegistryEndpoint.maxRepositoryBytes
            && parts.allSatisfy { part in
                part.utf8.first.map { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) } == true
                    && part.utf8.allSatisfy {
                        ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || "._-".utf8.contains($0)
                    }
            }
        guard isHost, !reference.registry.isEmpty, isRepository else {
            throw ImageError(
                .invalidReference, "“\(reference)” is not a name a registry can have",
                hint: "Write HOST/REPOSITORY:TAG, the repository in lower case.")
        }
        // The name everybody writes for Docker Hub is not the host that serves it.
        host =
            ["docker.io", "index.docker.io"].contains(reference.registry)
            ? "registry-1.docker.io" : reference.registry
        repository = reference.repository
        scheme = RegistryEndpoint.isLoopback(host) ? "http" : "https"
    }

    /// The specification's bound on a name together with its host.
    static let maxRepositoryBytes = 255

    var root: String { "\(scheme)://\(host)" }

    func url(_ path: String) -> String { "\(root)/v2/\(repository)/\(path)" }

    /// Whether a `HOST[:PORT]` is this machine, spelled in one of the ways that can't be somebody else's name.
    static func isLoopback(_ host: String) -> Bool {
        let name: Substring
        if host.hasPrefix("[") {
            name = host.prefix { $0 != "]" }.dropFirst()
        } else {
            name = host.prefix { $0 != ":" }
        }
        return ["127.0.0.1", "localhost", "::1"].contains(name)
    }

    /// `HOST[:PORT]` of a URL, or nil where there is none.
    static func host(of url: String) -> String? {
        guard let start = url.firstRange(of: "://") else { return nil }
        let authority = url[start.upperBound...].prefix { !"/?#".contains($0) }
        guard !authority.isEmpty, !authority.contains("@") else { return nil }
        return String(authority)
    }

    /// The absolute URL a `Location` means, relative ones read against `url`. Throws `registryUnavailable` where it
    /// points to an unprotected or nonsensical place. Source: RFC 3986, 5.2.
    func resolve(location: String, from url: String) throws(ImageError) -> String {
        let absolute: String
        if location.contains("://"), !location.hasPrefix("/"), !location.hasPrefix("?") {
            absolute = location
        } else if location.hasPrefix("//") {
            absolute = scheme + ":" + location
        } else {
            let base = url.prefix { $0 != "?" && $0 != "#" }
            let authority = RegistryEndpoint.host(of: url) ?? host
            if location.hasPrefix("/") {
                absolute = url.prefix { $0 != ":" } + "://" + authority + location
            } else if location.hasPrefix("?") {
                absolute = base + location
            } else {
                absolute = base[...(base.lastIndex(of: "/") ?? base.startIndex)] + location
            }
        }
        let withoutFragment = String(absolute.prefix { $0 != "#" })
        guard let target = RegistryEndpoint.host(of: withoutFragment),
            withoutFragment.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw nonsense }
        // A registry behind a proxy that ends TLS often forgets that it is reached by https.
        if target == host {
            return root + withoutFragment[withoutFragment.firstRange(of: target)!.upperBound...]
        }
        guard
            withoutFragment.lowercased().hasPrefix("https://")
                || (scheme == "http" && RegistryEndpoint.isLoopback(target))
        else { throw nonsense }
        return withoutFragment
    }

    private var nonsense: ImageError {
        ImageError(
            .registryUnavailable, "the registry \(host) answered with a location that can't be followed",
            hint: "A location must be https, or on the registry's own host.")
    }
}

/// Percent encoding of a query's value: unreserved characters stay. Source: RFC 3986, 2.3.
func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case 0x41...0x5A, 0x61...0x7A, 0x30...0x39, 0x2D, 0x2E, 0x5F, 0x7E: bytes.append(byte)
        default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
