// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl
internal import FoundationEssentials

/// Sends requests over one thread of libcurl's, with HTTP/1.1 and HTTP/2, and keeps its connections and cookies.
///
/// Certificates are always verified; there is no way to switch that off. Proxies are taken from the environment as
/// curl does (`https_proxy`, `no_proxy`, …). Cookies live in memory, for as long as the client.
package final class HTTPClient: HTTPSending {
    /// What holds for every request of a client.
    package struct Configuration: Sendable {
        /// Sent as `User-Agent`; the release says `airboss/` and its version.
        package var userAgent: String
        /// A file of PEM certificates that are trusted besides the system's.
        package var additionalCABundlePath: String?
        /// Gets every line of curl's verbose trace, without credentials and bodies; called on the client's thread.
        package var trace: (@Sendable (String) -> Void)?

        /// The name of the client's thread as debuggers show it, at most 15 bytes.
        package var threadName: String

        package init(
            userAgent: String = "airboss", additionalCABundlePath: String? = nil,
            trace: (@Sendable (String) -> Void)? = nil, threadName: String = "airboss-http"
        ) {
            self.threadName = threadName
            self.userAgent = userAgent
            self.additionalCABundlePath = additionalCABundlePath
            self.trace = trace
        }
    }

    /// Header bytes accepted in one response.
    package static let maxHeaderBytes = 256 * 1024

    private let configuration: Configuration
    private let authorities: Result<CertificateAuthorities?, HTTPError>
    private let loop: TransferLoop

    package init(_ configuration: Configuration = Configuration()) {
        self.configuration = configuration
        loop = TransferLoop(threadName: configuration.threadName)
        guard let path = configuration.additionalCABundlePath else {
            authorities = .success(nil)
            return
        }
        // A bundle that cannot be used is reported by the first request, so that making a client cannot fail.
        do throws(HTTPError) {
            authorities = .success(try CertificateAuthorities(adding: path))
        } catch {
            authorities = .failure(error)
        }
    }

    /// Sends a request and follows its redirects; throws ``HTTPError``, also when the task is cancelled.
    package func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let deadline = ContinuousClock.now + request.timeouts.total
        let authorities = try authorities.get()
        var hop = request
        var followed = 0
        while true {
            try hop.validate()
            let response: HTTPResponse
            do {
                response = try await transfer(hop, until: deadline, authorities)
            } catch {
                var error = error
                // The first request was answered, whatever became of the one it led to.
                if followed > 0 { error.mayHaveBeenProcessed = true }
                throw error
            }
            guard request.maxRedirects > 0, let next = try hop.redirected(by: response) else { return response }
            guard followed < request.maxRedirects else {
                throw HTTPError(
                    .tooManyRedirects,
                    "\(request.method) \(request.shownURL): more than \(request.maxRedirects) redirects.",
                    mayHaveBeenProcessed: true)
            }
            followed += 1
            hop = next
        }
    }

    /// Ends every transfer with `shutDown`, closes the connections and returns once the thread is gone.
    ///
    /// A client that just goes away does the same by itself, without waiting for it.
    package func shutdown() async {
        await loop.shutDown()
    }

    private func transfer(
        _ request: HTTPRequest, until deadline: ContinuousClock.Instant, _ authorities: CertificateAuthorities?
    ) async throws(HTTPError) -> HTTPResponse {
        let ticket = TransferTicket()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                loop.submit(
                    HTTPTransfer(
                        request, ticket: ticket, deadline: deadline, configuration: configuration,
                        authorities: authorities, continuation: continuation))
            }
        } onCancel: {
            loop.cancel(ticket)
        }
        return try result.get()
    }
}
