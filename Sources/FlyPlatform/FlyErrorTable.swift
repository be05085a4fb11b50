// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTransport
internal import Model

/// What a failed attempt means: the error, and what is known about repeating it.
struct FailedAttempt {
    var error: FlyError
    var failure: RetryPolicy.Failure
}

/// Reads failures out of answers. Source: the table of codes seen from Fly's Machines API, and flyctl's handling of it.
struct FlyErrorTable {
    let call: APICall
    let path: String
    let now: Timestamp
    /// Removes the token from text of others'.
    let redact: @Sendable (String) -> String

    /// Longer error bodies are looked at this far.
    static let maxErrorTextBytes = 64 * 1024

    /// An answer that is not a success.
    func failure(_ response: HTTPResponse) -> FailedAttempt {
        let body = ErrorBody(response)
        let status = response.status
        var (code, failure) = meaning(of: status, body)
        if case .leaseHeld(let owner, let expiresAt) = code {
            code = .leaseHeld(owner: redact(owner), expiresAt: expiresAt)
        }
        var error = make(code, status: status, message: body.message, response: response)
        error.isAmbiguous = call.changesSomething && isUnsettled(code)
        return FailedAttempt(error: error, failure: failure)
    }

    /// A success whose body is not what the API promises; the change it answers was probably made.
    func malformed(_ response: HTTPResponse, _ why: String) -> FailedAttempt {
        var error = make(.malformedAnswer, status: response.status, message: why, response: response)
        error.isAmbiguous = call.changesSomething
        return FailedAttempt(error: error, failure: FlyErrorTable.isWebPage(response) ? .permanent : .transient)
    }

    /// No answer.
    func failure(_ problem: HTTPError) -> FailedAttempt {
        let code: FlyError.Code
        var failure: RetryPolicy.Failure
        switch problem.code {
        case .couldNotResolve, .couldNotConnect, .timedOut, .stalled, .connectionLost:
            (code, failure) = (.unreachable, problem.mayHaveBeenProcessed ? .transient : .unprocessed)
        case .tlsFailed, .fileFailed, .shutDown: (code, failure) = (.unreachable, .permanent)
        case .bodyTooLarge, .tooManyRedirects: (code, failure) = (.malformedAnswer, .permanent)
        case .malformedAnswer: (code, failure) = (.malformedAnswer, .transient)
        case .invalidRequest: (code, failure) = (.badRequest, .permanent)
        case .cancelled: (code, failure) = (.cancelled, .permanent)
        }
        var error = make(code, status: nil, message: problem.message, response: nil)
        error.isAmbiguous = call.changesSomething && problem.mayHaveBeenProcessed
        return FailedAttempt(error: error, failure: failure)
    }

    private func make(
        _ code: FlyError.Code, status: Int?, message: String, response: HTTPResponse?
    ) -> FlyError {
        FlyError(
            code, status: status, message: FlyError.oneLine(redact(message)),
            requestID: response.map(FlyErrorTable.requestID) ?? "", method: call.method, path: path,
            retryAfter: response?.headers["retry-after"].flatMap { RetryAfter.delay($0, now: now) })
    }

    /// The platform's id of a request, as it may be shown.
    static func requestID(_ response: HTTPResponse) -> String {
        String(
            (response.headers["fly-request-id"] ?? "").unicodeScalars
                .filter { $0.value > 0x20 && $0.value < 0x7F }
                .prefix(FlyError.maxRequestIDLength).map(Character.init))
    }

    /// Whether a body is a page for people, which no endpoint of the API answers with.
    static func isWebPage(_ response: HTTPResponse) -> Bool {
        if response.headers["content-type"]?.lowercased().contains("text/html") == true { return true }
        return response.body.first { $0 > 0x20 } == UInt8(ascii: "<")
    }

    /// Whether the change may have been made although the answer is no success.
    private func isUnsettled(_ code: FlyError.Code) -> Bool {
        switch code {
        case .deadlineExceeded, .serverError, .malformedAnswer, .unreachable: true
        case .unauthorized, .forbidden, .appNotFound, .machineNotFound, .notFound, .leaseHeld, .conflict,
            .precondition, .insufficientCapacity, .nameTaken, .rateLimited, .badRequest, .cancelled:
            false
        }
    }

    private func meaning(of status: Int, _ body: ErrorBody) -> (FlyError.Code, RetryPolicy.Failure) {
        // The statuses that a proxy answers with its own page, and means the same by.
        switch status {
        case 408: return (.deadlineExceeded, call.timeoutIsAnAnswer ? .permanent : .transient)
        case 429: return (.rateLimited, .rateLimited)
        case 500...599:
            return body.isCapacity ? (.insufficientCapacity, .permanent) : (.serverError, .transient)
        default: break
        }
        // Elsewhere a page must not pass for the platform's word on what exists and who may do what.
        guard !body.isWebPage, (400...499).contains(status) else { return (.malformedAnswer, .permanent) }
        let code: FlyError.Code =
            switch status {
            case 401: .unauthorized
            case 403: .forbidden
            case 404: missing(body)
            case 409: body.lease ?? (body.isCapacity ? .insufficientCapacity : body.isName ? .nameTaken : .conflict)
            case 412: body.isCapacity ? .insufficientCapacity : .precondition
            default: body.isCapacity ? .insufficientCapacity : body.isName ? .nameTaken : .badRequest
            }
        return (code, .permanent)
    }

    /// Which thing a 404 is about: the one its text names first, or else the one the path ends in.
    private func missing(_ body: ErrorBody) -> FlyError.Code {
        let words = body.text.lowercased().split { !$0.isLetter }
        // `machine ID … has no lease` is about the lease, although it names the machine first.
        if call.action == .getLease || call.action == .releaseLease, words.contains("lease") { return .notFound }
        switch words.first(where: { ["app", "apps", "machine", "machines", "lease", "release"].contains($0) }) {
        case "app", "apps": return .appNotFound
        case "machine", "machines": return call.machine == nil ? .notFound : .machineNotFound
        case "lease", "release": return .notFound
        default:
            switch call.subject {
            case .app: return .appNotFound
            case .machine: return .machineNotFound
            case .other: return .notFound
            }
        }
    }
}

/// The parts of an error's body that its meaning depends on.
private struct ErrorBody {
    /// The `error` field, or the body where it is plain text.
    var text = ""
    /// The `status` field.
    var kind = ""
    var isWebPage = false
    private let httpStatus: Int

    init(_ response: HTTPResponse) {
        httpStatus = response.status
        isWebPage = FlyErrorTable.isWebPage(response)
        guard !isWebPage else { return }
        if let json = try? JSONValue(parsing: response.body) {  // anything else is plain text, read below
            text = json["error"]?.string ?? json["message"]?.string ?? json["errors"]?[0]?.string ?? json.string ?? ""
            kind = json["status"]?.string ?? ""
        } else {
            text = String(decoding: response.body.prefix(FlyErrorTable.maxErrorTextBytes), as: UTF8.self)
        }
    }

    var message: String {
        if isWebPage { return "a web page came instead of JSON" }
        if (300...399).contains(httpStatus) { return "a redirect came instead of an answer" }
        return text
    }

    var isCapacity: Bool {
        if ["insufficient_capacity", "volume_placement_capacity"].contains(kind) { return true }
        let text = text.lowercased()
        return [
            "no capacity", "insufficient capacity", "insufficient resources", "not enough capacity", "host is full",
        ]
        .contains(where: text.contains)
    }

    var isName: Bool {
        if kind == "name_taken" { return true }
        let text = text.lowercased()
        return ["unique-name", "unique name", "already been taken", "name is taken", "name already", "already exists"]
            .contains(where: text.contains)
    }

    /// `… lease currently held by <owner>, expires at <RFC 3339>`.
    var lease: FlyError.Code? {
        guard let held = text.firstRange(of: "lease currently held by ") else { return nil }
        let rest = text[held.upperBound...]
        guard let expires = rest.firstRange(of: ", expires at ") else {
            return .leaseHeld(owner: FlyError.oneLine(String(rest.prefix { $0 != "," }), limit: 120), expiresAt: nil)
        }
        let instant = rest[expires.upperBound...].prefix { !$0.isWhitespace && !"\"'),;".contains($0) }
        return .leaseHeld(
            owner: FlyError.oneLine(String(rest[..<expires.lowerBound]), limit: 120),
            expiresAt: Timestamp(String(instant.last == "." ? instant.dropLast() : instant)))
    }
}
