// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Tokens that say by their first characters whose they are.
enum KnownTokens {
    private struct Kind {
        var prefix: String
        /// How many characters must follow: fewer is a word that happens to begin so.
        var minimum: Int
    }

    private static let kinds: [Kind] = [
        ("ghp_", 16), ("gho_", 16), ("ghu_", 16), ("ghs_", 16), ("ghr_", 16), ("github_pat_", 16),  // GitHub
        ("glpat-", 16), ("gldt-", 16), ("glrt-", 16), ("glcbt-", 16),  // GitLab
        ("fm1_", 8), ("fm1r_", 8), ("fm1a_", 8), ("fm2_", 8), ("fo1_", 8),  // Fly.io
        ("sk_live_", 10), ("sk_test_", 10), ("rk_live_", 10), ("rk_test_", 10), ("whsec_", 10),  // Stripe
        ("sk-ant-", 10), ("sk-proj-", 10), ("sk-svcacct-", 10), ("sk-or-", 10),  // language models
        ("xoxa-", 8), ("xoxb-", 8), ("xoxc-", 8), ("xoxd-", 8), ("xoxe-", 8), ("xoxe.", 8), ("xoxp-", 8), ("xoxr-", 8),
        ("xoxs-", 8), ("xapp-", 8),  // Slack
        ("shpat_", 16), ("shpss_", 16), ("shpca_", 16), ("shppa_", 16),  // Shopify
        ("sbp_", 16), ("sb_secret_", 8),  // Supabase
        ("AIza", 30), ("ya29.", 16), ("GOCSPX-", 16),  // Google
        ("npm_", 24), ("pypi-", 24), ("rubygems_", 24), ("dckr_pat_", 16), ("cio", 32),  // registries
        ("SG.", 24), ("re_", 24), ("key-", 32), ("PMAK-", 24), ("dop_v1_", 16), ("doo_v1_", 16), ("dor_v1_", 16),
        ("hvs.", 16), ("hvb.", 16), ("tskey-", 12), ("lin_api_", 16), ("ntn_", 24), ("hf_", 24), ("dapi", 32),
        ("AGE-SECRET-KEY-", 16), ("EAAC", 32), ("phc_", 24), ("phx_", 24), ("sntrys_", 16), ("sntryu_", 16),
    ].map { Kind(prefix: $0.0, minimum: $0.1) }

    /// AWS access key ids: these four characters and sixteen capitals or digits.
    private static let amazon = ["AKIA", "ASIA"]

    static func redact(_ word: Substring) -> String {
        var result = ""
        var rest = word
        var previous: Character?
        while let first = rest.first {
            if previous.map({ !isWordCharacter($0) }) ?? true, let token = token(at: rest) {
                result += Redactor.mark
                rest = rest[token.endIndex...]
                previous = token.last
            } else {
                result.append(first)
                rest = rest.dropFirst()
                previous = first
            }
        }
        return result
    }

    private static func isWordCharacter(_ character: Character) -> Bool {
        character.isLetter || character.isNumber
    }

    private static func token(at text: Substring) -> Substring? {
        for kind in kinds where text.hasPrefix(kind.prefix) {
            // Fly's tokens are base64 and come in lists with commas.
            let isFly = kind.prefix.hasPrefix("fm") || kind.prefix.hasPrefix("fo1")
            let body = text.dropFirst(kind.prefix.count).prefix {
                isTokenCharacter($0) || (isFly && "+/=,".contains($0))
            }
            let plain = body.count { isWordCharacter($0) }
            // A word that happens to begin so ("key-", "re_", "npm_") goes on in letters alone.
            let isWordy = kind.minimum >= 24 && !body.contains(where: \.isNumber)
            if plain >= kind.minimum, !isWordy { return text[..<body.endIndex] }
        }
        for prefix in amazon where text.hasPrefix(prefix) {
            let body = text.prefix { $0.isASCII && ($0.isUppercase || $0.isNumber) }
            if body.count == 20 { return body }
        }
        // OpenAI's older keys: `sk-` and a long mixed word.
        if text.hasPrefix("sk-") {
            let body = text.dropFirst(3).prefix { isTokenCharacter($0) }
            if body.count >= 20, body.contains(where: \.isNumber), body.contains(where: \.isUppercase) {
                return text[..<body.endIndex]
            }
        }
        return webToken(at: text)
    }

    /// A JSON Web Token: two or three base64url parts, the first of which begins an object (RFC 7519).
    private static func webToken(at text: Substring) -> Substring? {
        guard text.hasPrefix("eyJ") else { return nil }
        let body = text.prefix { isTokenCharacter($0) || $0 == "=" }
        let parts = body.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count >= 2 && parts[0].count >= 10 && parts[1].count >= 4 ? body : nil
    }

    private static func isTokenCharacter(_ character: Character) -> Bool {
        character.isASCII && (isWordCharacter(character) || character == "_" || character == "-" || character == ".")
    }
}
