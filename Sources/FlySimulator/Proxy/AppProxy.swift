// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import NIOHTTPTypes
internal import Synchronization

/// App traffic, as Fly's proxy carries it: to the least loaded machine, on to the next one where connecting fails,
/// streaming both ways.
final class AppProxy: Sendable {
    static let maxIdleTime = TimeAmount.seconds(60)
    /// How long a request waits for a machine below its hard limit, or for one that accepts.
    static let maxSearchTime = Duration.seconds(5)
    static let searchPause = Duration.milliseconds(20)
    /// How long a request waits for a machine that was started for its sake.
    static let maxStartTime = Duration.seconds(60)

    private let routing: any RouteFinding
    private let ledger: TrafficLedger

    init(routing: any RouteFinding) {
        self.routing = routing
        ledger = TrafficLedger { route, isBeginning in
            if route.stopsWhenIdle { routing.note(machine: route.machine, isBeginning: isBeginning) }
        }
    }

    /// The requests a machine has now.
    func inFlight(machine: String) -> Int {
        ledger.inFlight(machine)
    }

    /// Waits until the machine has no request left and can get none from routes that were looked up before this call,
    /// at most so long. To be called after the machine has left the routes and before it is signalled.
    func drain(machine: String, upTo limit: Duration) async {
        await ledger.drain(machine, upTo: limit)
    }

    /// Answers a request for the app that its host names.
    func respond(to request: Request, clientAddress: String) async -> Response {
        let host = request.head.authority ?? ""
        guard routing.knowsHost(host) else { return text(.notFound, "no app answers to the host “\(host)”") }
        let clock = ContinuousClock()
        let begin = clock.now
        while true {
            var reason = "no known healthy instances found"
            if let found = await connect(host, &reason) {
                return await forward(request, found.0, found.1, clientAddress)
            }
            let isUnserved = reason == "no known healthy instances found"
            let isWorthWaiting =
                isUnserved
                ? clock.now < begin + AppProxy.maxStartTime && routing.start(forHost: host)
                : clock.now < begin + AppProxy.maxSearchTime
            // A cancelled request has nobody waiting for its answer.
            guard isWorthWaiting, (try? await Task.sleep(for: AppProxy.searchPause)) != nil else {
                return text(
                    .serviceUnavailable,
                    "[PR04] could not find a good candidate: \(reason). (hint: is your app shut down? is there an "
                        + "ongoing deployment with a volume or are you using the 'immediate' strategy? have your "
                        + "app's instances all reached their hard limit?)")
            }
        }
    }

    /// One round over the machines; nil and the reason where none took the connection.
    private func connect(_ host: String, _ reason: inout String) async -> (TrafficLedger.Place, GuestConnection)? {
        let ticket = ledger.beginChoice()
        defer { ledger.endChoice(ticket) }
        let routes = routing.routes(forHost: host)
        var tried: Set<String> = []
        while true {
            switch ledger.choose(routes, excluding: tried) {
            case .place(let place):
                tried.insert(place.route.machine)
                guard let path = place.route.socketPath else { continue }
                do {
                    return (place, try await GuestConnection.open(path, idleTime: AppProxy.maxIdleTime))
                } catch {
                    reason =
                        "instance refused connection. is your app listening on 0.0.0.0:\(place.route.internalPort)?"
                }
            case .full:
                reason = "all instances are at their hard limit"
                return nil
            case .none:
                return nil
            }
        }
    }

    private func forward(
        _ request: Request, _ place: TrafficLedger.Place, _ connection: GuestConnection, _ clientAddress: String
    ) async -> Response {
        let head = AppProxy.forwarded(request.head, clientAddress: clientAddress)
        let hasBody = request.headers[.transferEncoding] != nil || (request.headers[.contentLength] ?? "0") != "0"
        let exchange = Exchange(place, connection)
        // Where the guest takes no more, it may have answered and closed without reading on: its answer counts.
        if await connection.isSent(.head(head)) {
            if hasBody {
                exchange.upload(request.body)
            } else {
                _ = await connection.isSent(.end(nil))
            }
        }
        do {
            let answer = try await connection.head()
            return respond(to: request, with: answer, over: exchange)
        } catch {
            await exchange.end()
            return text(
                .badGateway, "[PU02] the instance closed the connection before it answered", place.route.machine)
        }
    }

    private func respond(to request: Request, with answer: HTTPResponse, over exchange: Exchange) -> Response {
        var headers = AppProxy.endToEnd(answer.headerFields)
        let length = headers[.contentLength]
        AppProxy.sign(&headers, machine: exchange.place.route.machine)
        let isBodiless =
            request.method == .head || answer.status == .noContent || answer.status == .notModified
        let body = ResponseBody(contentLength: isBodiless ? nil : length.flatMap { Int($0) }) { writer in
            do {
                var trailers: HTTPFields?
                reading: while let part = try await exchange.connection.next() {
                    switch part {
                    case .head: break
                    case .body(let buffer): if !isBodiless { try await writer.write(buffer) }
                    case .end(let fields):
                        trailers = fields
                        break reading
                    }
                }
                await exchange.end()
                try await writer.finish(trailers)
            } catch {
                await exchange.end()
                throw error
            }
        }
        var response = Response(status: answer.status, headers: headers, body: body)
        response.headers[.contentLength] = length
        return response
    }

    private func text(_ status: HTTPResponse.Status, _ message: String, _ machine: String? = nil) -> Response {
        var headers: HTTPFields = [.contentType: "text/plain; charset=utf-8"]
        AppProxy.sign(&headers, machine: machine)
        return Response(
            status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: message + "\n")))
    }

    // MARK: Headers

    /// Headers that concern one connection only. Source: RFC 9110, section 7.6.1.
    private static let hopByHop: Set<String> = [
        "connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
        "proxy-authenticate", "proxy-authorization", "expect",
    ]

    /// The headers without those of one connection, named ones included.
    static func endToEnd(_ fields: HTTPFields) -> HTTPFields {
        let named = (fields[.connection] ?? "").lowercased().split(separator: ",").map { word in
            word.filter { $0 != " " && $0 != "\t" }
        }
        let dropped = hopByHop.union(named)
        var kept = HTTPFields()
        for field in fields where !dropped.contains(field.name.canonicalName) { kept.append(field) }
        return kept
    }

    /// The request's head as the machine receives it.
    static func forwarded(_ head: HTTPRequest, clientAddress: String) -> HTTPRequest {
        var result = head
        result.headerFields = endToEnd(head.headerFields)
        if head.headerFields[.transferEncoding] != nil {
            result.headerFields[.contentLength] = nil
            result.headerFields[.transferEncoding] = "chunked"
        }
        result.headerFields[.connection] = "close"
        let earlier = head.headerFields[.forwardedFor].map { $0 + ", " } ?? ""
        result.headerFields[.forwardedFor] = earlier + clientAddress
        result.headerFields[.forwardedProto] = "http"
        result.headerFields[.forwardedPort] = "80"
        result.headerFields[.flyClientIP] = clientAddress
        result.headerFields[.flyForwardedProto] = "http"
        result.headerFields[.flyRequestID] = UUID().uuidString.lowercased()
        result.headerFields[.via] = (head.headerFields[.via].map { $0 + ", " } ?? "") + "1.1 fly.io"
        return result
    }

    private static func sign(_ headers: inout HTTPFields, machine: String?) {
        headers[.via] = (headers[.via].map { $0 + ", " } ?? "") + "1.1 fly.io"
        headers[.flyRequestID] = UUID().uuidString.lowercased()
        if let machine { headers[.flyInstanceID] = machine }
    }
}

/// A request on its way; ends with the last copy at the latest, also where the client went away before the body.
private final class Exchange: Sendable {
    let place: TrafficLedger.Place
    let connection: GuestConnection
    private let uploading = UploadBox()

    init(_ place: TrafficLedger.Place, _ connection: GuestConnection) {
        self.place = place
        self.connection = connection
    }

    deinit {
        uploading.cancel()
        connection.close()
    }

    /// Sends the request's body while the answer is awaited.
    func upload(_ body: RequestBody) {
        let connection = connection
        uploading.set(
            Task {
                do {
                    for try await buffer in body {
                        // A guest that reads no more may still answer, and its answer decides.
                        guard await connection.isSent(.body(buffer)) else { return }
                    }
                    _ = await connection.isSent(.end(nil))
                } catch {
                    connection.close()  // The client went away.
                }
            })
    }

    /// Closes the connection and waits until nobody reads the request's body any more.
    func end() async {
        connection.close()
        await uploading.finish()
    }
}

private final class UploadBox: Sendable {
    private let task = Mutex<Task<Void, Never>?>(nil)

    func set(_ new: Task<Void, Never>) {
        task.withLock { $0 = new }
    }

    func cancel() {
        task.withLock { $0 }?.cancel()
    }

    func finish() async {
        let task = task.withLock { $0 }
        task?.cancel()
        await task?.value
    }
}

extension HTTPField.Name {
    // Constant names of valid characters: the initializer gives nil for others only.
    static let flyInstanceID = HTTPField.Name("fly-instance-id")!
    fileprivate static let flyClientIP = HTTPField.Name("fly-client-ip")!
    fileprivate static let flyForwardedProto = HTTPField.Name("fly-forwarded-proto")!
    fileprivate static let flyRequestID = HTTPField.Name("fly-request-id")!
    fileprivate static let forwardedFor = HTTPField.Name("x-forwarded-for")!
    fileprivate static let forwardedProto = HTTPField.Name("x-forwarded-proto")!
    fileprivate static let forwardedPort = HTTPField.Name("x-forwarded-port")!
    fileprivate static let via = HTTPField.Name("via")!
}
