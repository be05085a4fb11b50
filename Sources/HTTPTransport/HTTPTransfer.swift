// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl
internal import FoundationEssentials

/// One request on its way through the loop.
///
/// `@unchecked Sendable`: it is made in the caller's task and from then on used only on the loop's thread, to which the
/// mailbox's lock hands it over; curl calls back on that same thread.
final class HTTPTransfer: LoopTransfer, @unchecked Sendable {
    /// curl's buffer for a body that streams to or from a file.
    private static let streamBufferBytes = 128 * 1024
    /// A connection idle for longer is not used again: the far side has likely given it up already.
    private static let maxIdleConnectionSeconds = 55

    let ticket: TransferTicket
    let deadline: ContinuousClock.Instant
    private let request: HTTPRequest
    private let configuration: HTTPClient.Configuration
    private let authorities: CertificateAuthorities?
    private var continuation: CheckedContinuation<Result<HTTPResponse, HTTPError>, Never>?

    private var easy: EasyHandle?
    private var source: UploadSource?
    private var sink: DownloadSink
    private var headers = HTTPHeaders()
    private var headerBytes = 0
    /// How often curl was about to send the request: more than once where a kept connection turned out to be dead.
    private var requestStarts = 0
    /// Why a callback of ours told curl to stop.
    private var interruption: (code: HTTPError.Code, reason: String)?

    init(
        _ request: HTTPRequest, ticket: TransferTicket, deadline: ContinuousClock.Instant,
        configuration: HTTPClient.Configuration, authorities: CertificateAuthorities?,
        continuation: CheckedContinuation<Result<HTTPResponse, HTTPError>, Never>
    ) {
        self.request = request
        self.ticket = ticket
        self.deadline = deadline
        self.configuration = configuration
        self.authorities = authorities
        self.continuation = continuation
        sink = DownloadSink(path: request.downloadPath, limit: request.maxBodyBytes)
    }

    func begin(share: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        do throws(CurlRefusal) {
            do throws(FileFailure) {
                switch request.body {
                // POST and PUT without a body still announce its length, 0.
                case .none: source = ["POST", "PUT"].contains(request.method) ? UploadSource(Data()) : nil
                case .bytes(let bytes): source = UploadSource(bytes)
                case .file(let path, let offset, let length):
                    source = try UploadSource(path: path, offset: offset, length: length)
                }
            } catch {
                answer(.failure(failure(.fileFailed, error.message)))
                return nil
            }
            var easy = try EasyHandle(context: self)
            try setOptions(of: &easy, share: share)
            let pointer = easy.pointer
            self.easy = consume easy
            return pointer
        } catch {
            answer(
                .failure(
                    failure(.invalidRequest, "curl does not take it", String(cString: curl_easy_strerror(error.code)))))
            return nil
        }
    }

    func interrupt() {
        // curl closes the connection of an unfinished answer by itself.
    }

    func end(_ ending: TransferEnding) {
        switch ending {
        case .finished(CURLE_OK): answer(response())
        case .finished(let code): answer(.failure(failure(after: code)))
        case .cancelled: answer(.failure(failure(.cancelled, "cancelled")))
        case .deadlinePassed: answer(.failure(failure(.timedOut, "no answer within \(request.timeouts.total.shown)")))
        case .shutDown: answer(.failure(failure(.shutDown, "the HTTP client was shut down")))
        case .refused: answer(.failure(failure(.invalidRequest, "too many requests wait to be sent already")))
        }
    }

    private func answer(_ result: Result<HTTPResponse, HTTPError>) {
        // Gives up the handle, and with it curl's hold on this object.
        easy = nil
        source = nil
        continuation?.resume(returning: result)
        continuation = nil
    }
}

// MARK: - Setting up

extension HTTPTransfer {
    private func setOptions(of easy: inout EasyHandle, share: UnsafeMutableRawPointer) throws(CurlRefusal) {
        try easy.setCommonOptions(
            timeouts: request.timeouts, remaining: ContinuousClock.now.duration(to: deadline), authorities: authorities)
        try easy.accept(airboss_easy_allow_http(easy.pointer))
        try easy.accept(airboss_easy_set_pointer(easy.pointer, CURLOPT_SHARE, share))
        // An empty name switches the cookie engine on without reading a file; nothing is ever written.
        try easy.set(CURLOPT_COOKIEFILE, "")
        try easy.set(CURLOPT_URL, request.url)
        try easy.set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
        try easy.set(CURLOPT_USERAGENT, configuration.userAgent)
        try easy.set(CURLOPT_FOLLOWLOCATION, false)
        try easy.set(CURLOPT_MAXAGE_CONN, Self.maxIdleConnectionSeconds)
        try easy.set(CURLOPT_SUPPRESS_CONNECT_HEADERS, true)
        try setMethodAndBody(of: &easy)
        // Waiting for "100 Continue" costs a second where the server does not know it.
        let fields = request.headers.fields.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        try easy.set(CURLOPT_HTTPHEADER, list: ["Expect:"] + fields)
        try setCallbacks(of: easy)
    }

    private func setMethodAndBody(of easy: inout EasyHandle) throws(CurlRefusal) {
        if let length = source?.length {
            try easy.set(CURLOPT_UPLOAD, true)
            try easy.set(CURLOPT_INFILESIZE_LARGE, offset: length)
            if case .file = request.body { try easy.set(CURLOPT_UPLOAD_BUFFERSIZE, Self.streamBufferBytes) }
        }
        if request.method == "HEAD" { try easy.set(CURLOPT_NOBODY, true) }
        if request.downloadPath != nil { try easy.set(CURLOPT_BUFFERSIZE, Self.streamBufferBytes) }
        try easy.set(CURLOPT_CUSTOMREQUEST, request.method)
    }

    private func setCallbacks(of easy: borrowing EasyHandle) throws(CurlRefusal) {
        try easy.setContext(CURLOPT_HEADERDATA)
        try easy.accept(
            airboss_easy_set_data_callback(easy.pointer, CURLOPT_HEADERFUNCTION) { data, size, count, context in
                HTTPTransfer.from(context).receiveHeader(UnsafeRawBufferPointer(start: data, count: size * count))
            })
        try easy.setContext(CURLOPT_WRITEDATA)
        try easy.accept(
            airboss_easy_set_data_callback(easy.pointer, CURLOPT_WRITEFUNCTION) { data, size, count, context in
                HTTPTransfer.from(context).receiveBody(UnsafeRawBufferPointer(start: data, count: size * count))
            })
        try easy.setContext(CURLOPT_READDATA)
        try easy.accept(
            airboss_easy_set_data_callback(easy.pointer, CURLOPT_READFUNCTION) { data, size, count, context in
                let buffer = UnsafeMutableRawBufferPointer(start: data, count: size * count)
                return HTTPTransfer.from(context).supplyBody(buffer)
            })
        try easy.setContext(CURLOPT_SEEKDATA)
        try easy.accept(
            airboss_easy_set_seek_callback(easy.pointer) { context, offset, origin in
                let isMoved = origin == 0 && HTTPTransfer.from(context).source?.seek(to: Int64(offset)) == true
                return isMoved ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
            })
        try easy.setContext(CURLOPT_PREREQDATA)
        try easy.accept(
            airboss_easy_set_prereq_callback(easy.pointer) { context, _, _, _, _ in
                HTTPTransfer.from(context).mayStartRequest() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
            })
        guard configuration.trace != nil else { return }
        try easy.set(CURLOPT_VERBOSE, true)
        try easy.setContext(CURLOPT_DEBUGDATA)
        try easy.accept(
            airboss_easy_set_debug_callback(easy.pointer) { _, kind, data, size, context in
                HTTPTransfer.from(context).trace(kind, UnsafeRawBufferPointer(start: data, count: size))
                return 0
            })
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> HTTPTransfer {
        guard let context else { preconditionFailure("curl lost a callback's context") }
        return Unmanaged<HTTPTransfer>.fromOpaque(context).takeUnretainedValue()
    }
}

// MARK: - Called back by curl

extension HTTPTransfer {
    private static let safeMethods: Set<String> = ["GET", "HEAD", "OPTIONS"]

    /// curl repeats a request by itself when a kept connection was closed under it. That is right only for a request
    /// without effects: for any other the caller must look first whether it was carried out.
    private func mayStartRequest() -> Bool {
        requestStarts += 1
        guard requestStarts > 1, !Self.safeMethods.contains(request.method) else { return true }
        interruption = (.connectionLost, "the server closed the connection without an answer")
        return false
    }

    private func receiveHeader(_ buffer: UnsafeRawBufferPointer) -> Int {
        headerBytes += buffer.count
        guard headerBytes <= HTTPClient.maxHeaderBytes else {
            interruption = (.malformedAnswer, "more than \(HTTPClient.maxHeaderBytes) bytes of header fields")
            return 0
        }
        let line = String(decoding: buffer, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // An informational response (1xx) went before.
            headers = HTTPHeaders()
        } else if let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) {
            let value = line[line.index(after: colon)...].trimmingPrefix { $0.isWhitespace }
            let end = value.lastIndex { !$0.isWhitespace }
            headers.append(String(line[..<colon]), end.map { String(value[...$0]) } ?? "")
        }
        return buffer.count
    }

    private func receiveBody(_ buffer: UnsafeRawBufferPointer) -> Int {
        do throws(FileFailure) {
            if try sink.append(buffer, isSuccess: isSuccess) { return buffer.count }
            interruption = (.bodyTooLarge, "the body of the answer is longer than \(sink.limit) bytes")
        } catch {
            interruption = (.fileFailed, error.message)
        }
        // Anything but the number given ends the transfer, and 0 bytes are never given.
        return 0
    }

    private func supplyBody(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        do throws(FileFailure) {
            return try source?.read(into: buffer) ?? 0
        } catch {
            interruption = (.fileFailed, error.message)
            return Int(CURL_READFUNC_ABORT)
        }
    }

    private func trace(_ kind: curl_infotype, _ buffer: UnsafeRawBufferPointer) {
        let mark: String
        switch kind {
        case CURLINFO_TEXT: mark = "*"
        case CURLINFO_HEADER_IN: mark = "<"
        case CURLINFO_HEADER_OUT: mark = ">"
        case CURLINFO_DATA_IN:
            configuration.trace?("{ \(buffer.count) bytes of body }")
            return
        case CURLINFO_DATA_OUT:
            configuration.trace?("} \(buffer.count) bytes of body {")
            return
        default: return
        }
        // A secret URL shows in the request line and in curl's notes: only its method is left of either.
        for line in String(decoding: buffer, as: UTF8.self).split(whereSeparator: \.isNewline) {
            configuration.trace?("\(mark) \(shown(String(line)))")
        }
    }

    /// curl's words about this request, without credentials.
    private func shown(_ text: String) -> String {
        guard request.urlIsSecret else { return Redaction.text(text) }
        guard let parts = URLParts(request.url) else { return Redaction.mark }
        var text = text
        for part in [request.url, parts.path + (parts.query.map { "?" + $0 } ?? ""), parts.path] where part.count > 1 {
            text.replace(part, with: Redaction.mark)
        }
        return Redaction.text(text)
    }

    private var status: Int { easy?.long(CURLINFO_RESPONSE_CODE) ?? 0 }
    private var isSuccess: Bool { (200..<300).contains(status) }
}

// MARK: - Results

extension HTTPTransfer {
    private func response() -> Result<HTTPResponse, HTTPError> {
        let status = status
        guard status > 0 else { return .failure(failure(.malformedAnswer, "the answer has no status")) }
        do throws(FileFailure) {
            try sink.complete(isSuccess: isSuccess)
        } catch {
            return .failure(failure(.fileFailed, error.message))
        }
        let version =
            switch easy?.long(CURLINFO_HTTP_VERSION) ?? 0 {
            case Int(CURL_HTTP_VERSION_1_0): "1.0"
            case Int(CURL_HTTP_VERSION_2_0): "2"
            case Int(CURL_HTTP_VERSION_3): "3"
            default: "1.1"
            }
        var response = HTTPResponse(
            status: status, headers: headers, body: sink.bytes, version: version, url: request.url,
            timing: HTTPResponse.Timing(
                connect: max(time(CURLINFO_CONNECT_TIME_T), time(CURLINFO_APPCONNECT_TIME_T)),
                firstByte: time(CURLINFO_STARTTRANSFER_TIME_T), total: time(CURLINFO_TOTAL_TIME_T),
                openedConnection: (easy?.long(CURLINFO_NUM_CONNECTS) ?? 0) > 0))
        response.urlIsSecret = request.urlIsSecret
        return .success(response)
    }

    private func time(_ info: CURLINFO) -> Duration { .microseconds(easy?.offset(info) ?? 0) }

    private func failure(after code: CURLcode) -> HTTPError {
        if let interruption { return failure(interruption.code, interruption.reason) }
        let isStarted = requestStarts > 0
        let text = easy?.errorText ?? ""
        let said = text.isEmpty ? String(cString: curl_easy_strerror(code)) : text
        switch code {
        case CURLE_OPERATION_TIMEDOUT:
            return timeout()
        case CURLE_UNSUPPORTED_PROTOCOL where isStarted, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING:
            return failure(.malformedAnswer, "the answer is not HTTP", said)
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_BAD_FUNCTION_ARGUMENT:
            return failure(.invalidRequest, "curl does not take it", said)
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            return failure(.couldNotResolve, "the host name could not be resolved", said)
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS:
            return failure(.tlsFailed, "the server's certificate could not be verified", said)
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_CACERT_BADFILE:
            return failure(.tlsFailed, "no secure connection could be made", said)
        case CURLE_GOT_NOTHING:
            return failure(.connectionLost, "the server closed the connection without an answer")
        case CURLE_PARTIAL_FILE:
            return failure(.connectionLost, "the answer broke off", said)
        case CURLE_COULDNT_CONNECT, CURLE_PROXY:
            return failure(.couldNotConnect, "no connection could be made", said)
        default:
            return isStarted
                ? failure(.connectionLost, "the connection was lost", said)
                : failure(.couldNotConnect, "no connection could be made", said)
        }
    }

    /// curl has one code for three limits; which of them it was follows from how far the transfer had come.
    private func timeout() -> HTTPError {
        // The two clocks and curl's rounding to milliseconds may differ by a little.
        if ContinuousClock.now + .milliseconds(50) >= deadline {
            return failure(.timedOut, "no complete answer within \(request.timeouts.total.shown)")
        }
        if requestStarts == 0 {
            return failure(.timedOut, "no connection within \(request.timeouts.connect.shown)")
        }
        return failure(.stalled, "not a byte for about \(request.timeouts.stall.secondsForCurl) s")
    }

    private func failure(_ code: HTTPError.Code, _ reason: String, _ said: String = "") -> HTTPError {
        let detail = said.isEmpty ? "" : " (\(shown(said)))"
        return HTTPError(
            code, "\(request.method) \(request.shownURL): \(reason)\(detail).", mayHaveBeenProcessed: requestStarts > 0)
    }
}
