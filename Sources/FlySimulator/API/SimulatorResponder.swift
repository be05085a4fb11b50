// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Crypto
internal import FlyWorld
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import Model
internal import NIOCore
internal import Synchronization

/// The time each API answer is on its way; may be changed while the simulator runs.
final class Latency: Sendable {
    private let value: Mutex<Duration>

    init(_ roundTrip: Duration) {
        value = Mutex(roundTrip)
    }

    var roundTrip: Duration {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}

/// A request's surroundings, with the connection, so that a fault can end it.
struct SimulatorContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
}

/// Everything on the one listen address: the Machines API below `/v1`, the platform API below `/api/v1`, the registry
/// below `/v2`, the simulator's own endpoints, and by host name the apps' traffic.
struct SimulatorResponder: HTTPResponder {
    typealias Context = SimulatorContext

    let host: WorldHost
    let listenHost: String
    let tokens: TokenBook
    let latency: Latency
    let machines: MachinesEndpoints
    let registry: RegistryRoutes
    /// Answers a request for an app.
    let traffic: @Sendable (_ request: Request, _ clientAddress: String) async -> Response

    func respond(to request: Request, context: SimulatorContext) async throws -> Response {
        guard isForAPI(request) else {
            return await traffic(request, context.channel.remoteAddress?.ipAddress ?? "127.0.0.1")
        }
        let path = request.uri.path
        if path == "/v2" || path.hasPrefix("/v2/") { return await registry.respond(to: request) }
        let half = latency.roundTrip / 2
        if half > .zero { try await Task.sleep(for: half) }
        let response = await answer(request, path: path, context: context)
        if half > .zero { try await Task.sleep(for: half) }
        return response
    }

    /// Addresses as such, and the name listened on, are the API's; every other host is an app's.
    private func isForAPI(_ request: Request) -> Bool {
        let authority = request.head.authority ?? ""
        let name: String
        if authority.hasPrefix("[") {
            name = String(authority.dropFirst().prefix { $0 != "]" })
        } else {
            name = String(authority.prefix { $0 != ":" }).lowercased()
        }
        return name.isEmpty || name == "localhost" || name == listenHost.lowercased() || name.contains(":")
            || name.allSatisfy { $0.isNumber || $0 == "." }
    }

    private func answer(_ request: Request, path: String, context: SimulatorContext) async -> Response {
        do {
            if path.hasPrefix("/_simulator/") {
                let read = try await APIRequest.read(request, dropping: 1)
                let (status, body) = try ControlEndpoints(host: host, latency: latency, tokens: tokens).answer(read)
                return response(status, body)
            }
            let caller = try authenticate(request.headers)
            let read: APIRequest
            let call: APICall
            if path.hasPrefix("/v1/") {
                read = try await APIRequest.read(request, dropping: 1)
                call = try await machines.call(read)
            } else if path.hasPrefix("/api/v1/") {
                read = try await APIRequest.read(request, dropping: 2)
                call = try PlatformEndpoints().call(read)
            } else {
                throw WorldFailure(404, "nothing answers to \(path)")
            }
            let answer = await host.call { id in
                WorldRequest(
                    id: id, app: call.app, machine: call.machine, nonce: read.nonce, caller: caller, call: call.call)
            }
            return try await deliver(answer, to: call, read, context)
        } catch let failure as WorldFailure {
            return response(failure.status, AnswerWriting.failure(failure))
        } catch {
            return response(500, ["error": .string("\(error)")])
        }
    }

    // MARK: Who asks

    /// Reads `Bearer` and `FlyV1` tokens, comma-joined lists of them included.
    private func authenticate(_ headers: HTTPFields) throws(WorldFailure) -> WorldCaller {
        let words = (headers[.authorization] ?? "").split(separator: " ", maxSplits: 1)
        let refusal = WorldFailure(401, "authentication failed: the token is missing or invalid")
        guard words.count == 2, ["bearer", "flyv1"].contains(words[0].lowercased()) else { throw refusal }
        let given = words[1].split(separator: ",").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty }
        guard let first = given.first else { throw refusal }
        let digest = SHA256.hash(data: Data(first.utf8))
        let name = hexadecimal(digest.prefix(8)) + "@tokens.fly.io"
        guard case .accepted(let organizations) = tokens.standing(of: given) else { throw refusal }
        return WorldCaller(name: name, organizations: organizations)
    }

    // MARK: The way back

    private func deliver(
        _ answer: WorldResponse, to call: APICall, _ request: APIRequest, _ context: SimulatorContext
    ) async throws -> Response {
        if answer.delay > .zero { try await Task.sleep(for: answer.delay) }
        let key = request.method == .get && request.path.count == 6 ? request.path[5] : nil
        let (status, body) = AnswerWriting.write(answer.answer, to: call, metadataKey: key)
        switch answer.delivery {
        case .intact:
            var whole = response(status, body)
            if case .failure(let failure) = answer.answer, let seconds = failure.retryAfterSeconds {
                whole.headers[.retryAfter] = String(seconds)
            }
            return whole
        case .lost:
            // Closing fails only where the client was faster.
            try? await context.channel.close()
            return Response(status: .internalServerError)
        case .html(let status):
            let page =
                "<html>\r\n<head><title>\(status)</title></head>\r\n<body>\r\n<h1>\(status)</h1>\r\n</body></html>"
            return Response(
                status: .init(code: status), headers: [.contentType: "text/html", .requestID: requestID()],
                body: ResponseBody(byteBuffer: ByteBuffer(string: page)))
        case .truncated:
            return truncated(status, body, context)
        case .noise(let bytes):
            return Response(
                status: .init(code: status), headers: [.contentType: "application/json", .requestID: requestID()],
                body: SimulatorResponder.noise(bytes))
        }
    }

    private func truncated(_ status: Int, _ body: JSONValue?, _ context: SimulatorContext) -> Response {
        let text = (body ?? [:]).text()
        let channel = context.channel
        let half = ByteBuffer(string: String(text.prefix(text.count / 2)))
        return Response(
            status: .init(code: status),
            headers: [
                .contentType: "application/json", .requestID: requestID(), .contentLength: String(text.utf8.count),
            ],
            body: ResponseBody(contentLength: text.utf8.count) { writer in
                try await writer.write(half)
                // Closing fails only where the client was faster.
                try? await channel.close()
                try await writer.finish(nil)
            })
    }

    private static func noise(_ bytes: Int) -> ResponseBody {
        ResponseBody(contentLength: bytes) { writer in
            let block = ByteBuffer(bytes: (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 8) })
            var left = bytes
            while left > 0 {
                try await writer.write(block.getSlice(at: 0, length: min(left, 65_536)) ?? block)
                left -= 65_536
            }
            try await writer.finish(nil)
        }
    }

    private func response(_ status: Int, _ body: JSONValue?) -> Response {
        var headers: HTTPFields = [.requestID: requestID()]
        guard let body else { return Response(status: .init(code: status), headers: headers) }
        headers[.contentType] = "application/json; charset=utf-8"
        return Response(
            status: .init(code: status), headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(string: body.text())))
    }

    private func requestID() -> String {
        UUID().uuidString.lowercased() + "-iad"
    }
}
