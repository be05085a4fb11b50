// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials

/// Header fields in their order; names compare without case.
package struct HTTPHeaders: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    package private(set) var fields: [Field]

    package struct Field: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    package init() {
        fields = []
    }

    package init(dictionaryLiteral elements: (String, String)...) {
        fields = elements.map { Field(name: $0.0, value: $0.1) }
    }

    /// The first value of a field; setting replaces every one of that name.
    package subscript(name: String) -> String? {
        get { fields.first { $0.name.lowercased() == name.lowercased() }?.value }
        set {
            fields.removeAll { $0.name.lowercased() == name.lowercased() }
            if let newValue { fields.append(Field(name: name, value: newValue)) }
        }
    }

    /// Every value of a field, in order.
    package func values(of name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    package mutating func append(_ name: String, _ value: String) {
        fields.append(Field(name: name, value: value))
    }
}

/// What a request carries.
package enum HTTPBody: Hashable, Sendable {
    case none
    case bytes(Data)
    /// A part of a file, streamed: `length` bytes from `offset`.
    case file(path: String, offset: Int64, length: Int64)
}

/// How long a transfer may take, in each of the ways it can hang.
package struct HTTPTimeouts: Hashable, Sendable {
    /// Name resolution, TCP and TLS together.
    package var connect: Duration
    /// The whole transfer.
    package var total: Duration
    /// The longest time without a byte in either direction; whole seconds.
    package var stall: Duration

    package init(connect: Duration = .seconds(10), total: Duration = .seconds(60), stall: Duration = .seconds(30)) {
        self.connect = connect
        self.total = total
        self.stall = stall
    }
}

package struct HTTPRequest: Sendable {
    package var method: String
    package var url: String
    package var headers: HTTPHeaders
    package var body: HTTPBody
    package var timeouts: HTTPTimeouts
    /// The longest response body accepted; a longer one ends the transfer with `bodyTooLarge`.
    package var maxBodyBytes: Int
    /// Where a successful (2xx) answer's body goes instead of memory: the file appears, or is replaced, once complete.
    package var downloadPath: String?
    /// Redirects followed; credentials are not sent on to another host. With 0 the redirect itself is the answer.
    package var maxRedirects: Int
    /// Whether the URL as a whole is a credential, as a webhook's is: then only its host is ever shown.
    package var urlIsSecret = false

    /// Enough for any answer of an API, far too little for noise.
    package static let defaultMaxBodyBytes = 8 * 1024 * 1024

    package init(
        _ method: String, _ url: String, headers: HTTPHeaders = [:], body: HTTPBody = .none,
        timeouts: HTTPTimeouts = HTTPTimeouts(), maxBodyBytes: Int = HTTPRequest.defaultMaxBodyBytes,
        downloadPath: String? = nil, maxRedirects: Int = 0
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeouts = timeouts
        self.maxBodyBytes = maxBodyBytes
        self.downloadPath = downloadPath
        self.maxRedirects = maxRedirects
    }
}

package struct HTTPResponse: Sendable {
    package var status: Int
    package var headers: HTTPHeaders
    /// Empty where a successful (2xx) answer went to the request's `downloadPath`.
    package var body: Data
    /// `1.0`, `1.1`, `2`.
    package var version: String
    package var url: String
    package var timing: Timing
    /// As in the request.
    package var urlIsSecret = false

    package struct Timing: Hashable, Sendable {
        package var connect: Duration
        package var firstByte: Duration
        package var total: Duration
        /// Whether a connection was opened for this transfer, rather than reused.
        package var openedConnection: Bool

        package init(
            connect: Duration = .zero, firstByte: Duration = .zero, total: Duration = .zero,
            openedConnection: Bool = true
        ) {
            self.connect = connect
            self.firstByte = firstByte
            self.total = total
            self.openedConnection = openedConnection
        }
    }

    package init(
        status: Int, headers: HTTPHeaders = [:], body: Data = Data(), version: String = "1.1", url: String = "",
        timing: Timing = Timing()
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        self.version = version
        self.url = url
        self.timing = timing
    }
}

/// Why a transfer gave no answer.
package struct HTTPError: Error, Hashable, Sendable {
    package enum Code: String, Sendable, CaseIterable {
        case invalidRequest, couldNotResolve, couldNotConnect, tlsFailed, timedOut, stalled, bodyTooLarge
        case connectionLost, malformedAnswer, tooManyRedirects, fileFailed, cancelled, shutDown
    }

    package var code: Code
    /// One sentence, with every credential removed.
    package var message: String
    /// False only where the request certainly never reached the server, so that repeating it is safe.
    package var mayHaveBeenProcessed: Bool

    package init(_ code: Code, _ message: String, mayHaveBeenProcessed: Bool) {
        self.code = code
        self.message = Redaction.text(message)
        self.mayHaveBeenProcessed = mayHaveBeenProcessed
    }
}

/// What sends requests; one instance is shared by everything in a process.
///
/// Throws ``HTTPError``. Cancelling the task cancels the transfer.
package protocol HTTPSending: Sendable {
    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse
}
