// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl
internal import FoundationEssentials

/// The certificate authorities of the system and the additional ones, as one bundle in PEM.
///
/// curl's `CAINFO` would *replace* the system's, so the two are joined and handed over together.
struct CertificateAuthorities: Sendable {
    let bundle: [UInt8]

    /// Throws where the additional bundle cannot be read or holds no certificate.
    init(adding path: String) throws(HTTPError) {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Self.unusable("it cannot be read")
        }
        let additional = [UInt8](data)
        guard additional.firstRange(of: Array("-----BEGIN".utf8)) != nil else {
            throw Self.unusable("it holds no PEM certificate")
        }
        var bundle: [UInt8] = []
        if let info = airboss_version_info(), let file = info.pointee.cainfo,
            let system = FileManager.default.contents(atPath: String(cString: file))
        {
            bundle = [UInt8](system) + [UInt8(ascii: "\n")]
        }
        self.bundle = bundle + additional
    }

    private static func unusable(_ reason: String) -> HTTPError {
        HTTPError(
            .tlsFailed, "The additional certificate bundle cannot be used: \(reason).", mayHaveBeenProcessed: false)
    }
}
