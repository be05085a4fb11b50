// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

extension HTTPRequest {
    /// Throws `invalidRequest` for what must not, or cannot, be put on the wire.
    func validate() throws(HTTPError) {
        guard !method.isEmpty, method.utf8.allSatisfy(\.isTokenByte) else {
            throw invalid("the method is not a token of HTTP")
        }
        guard let parts = URLParts(url), ["http", "https"].contains(parts.scheme), !parts.host.isEmpty else {
            throw invalid("it is not an http or https URL")
        }
        for field in headers.fields {
            guard !field.name.isEmpty, field.name.utf8.allSatisfy(\.isTokenByte) else {
                throw invalid("the name of a header field is not a token of HTTP")
            }
            // A line break would smuggle in further fields.
            guard field.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
                throw invalid("the value of \(field.name) has a control character in it")
            }
        }
        guard maxBodyBytes >= 0 else { throw invalid("maxBodyBytes is negative") }
    }

    /// The request that follows a response, or nil where the response is not a redirect with a location.
    ///
    /// The method changes as in RFC 9110 section 15.4. Header fields with credentials go only to the same scheme, host
    /// and port; a redirect from https to http is refused.
    func redirected(by response: HTTPResponse) throws(HTTPError) -> HTTPRequest? {
        guard [301, 302, 303, 307, 308].contains(response.status), let location = response.headers["location"] else {
            return nil
        }
        guard let target = URLParts.resolve(location, from: url), let to = URLParts(target), let from = URLParts(url)
        else { throw refused("the location of its redirect is not a URL") }
        guard ["http", "https"].contains(to.scheme) else { throw refused("its redirect is not to http or https") }
        guard to.scheme == from.scheme || to.scheme == "https" else {
            throw refused("its redirect leads from https to http")
        }
        var next = self
        next.url = target
        let becomesGet =
            response.status == 303 && method != "HEAD"
            || [301, 302].contains(response.status) && method == "POST"
        if becomesGet {
            next.method = "GET"
            next.body = .none
            for name in ["Content-Type", "Content-Length", "Content-Encoding", "Content-Range"] {
                next.headers[name] = nil
            }
        }
        if to.origin != from.origin {
            next.headers["Host"] = nil
            for field in headers.fields where Redaction.isSensitiveHeader(field.name) { next.headers[field.name] = nil }
        }
        return next
    }

    private func invalid(_ reason: String) -> HTTPError {
        HTTPError(.invalidRequest, "\(method) \(shownURL): \(reason).", mayHaveBeenProcessed: false)
    }

    private func refused(_ reason: String) -> HTTPError {
        HTTPError(.malformedAnswer, "\(method) \(shownURL): \(reason).", mayHaveBeenProcessed: true)
    }
}

extension UInt8 {
    /// A byte of a token (RFC 9110 section 5.6.2).
    fileprivate var isTokenByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self)
        }
    }
}
