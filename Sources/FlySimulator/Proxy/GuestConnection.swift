// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes
internal import NIOHTTPTypesHTTP1
internal import NIOPosix

/// Why a guest's answer did not come.
enum GuestConnectionError: Error, Hashable {
    /// Nothing listens on the port, or the guest is gone; nothing was sent to it.
    case refused
    /// The guest closed the connection before its answer was whole.
    case closedEarly
    /// Neither side had anything to say for too long, or the allowed time is over.
    case timedOut
}

/// One HTTP/1.1 exchange with a port inside a guest, through its relay's Unix socket. Parts are read only when asked
/// for, so that a slow reader slows the guest down.
struct GuestConnection: Sendable {
    static let maxConnectTime = TimeAmount.seconds(5)

    private let channel: any Channel
    private let exchange: NIOLoopBound<ExchangeHandler>
    private let greeting: EventLoopFuture<Void>

    /// Connects and waits for the relay's word that the guest has accepted; throws `refused` where it has not.
    /// The connection is closed after `lifetime`, and after `idleTime` without a byte.
    static func open(_ path: String, lifetime: TimeAmount? = nil, idleTime: TimeAmount) async throws -> GuestConnection
    {
        let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelOption(.autoRead, value: false)
            .connectTimeout(maxConnectTime)
        let connection: GuestConnection
        do {
            connection = try await bootstrap.connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try GuestConnection(channel, idleTime: idleTime)
                }
            }
        } catch {
            throw GuestConnectionError.refused
        }
        let patience = min(lifetime ?? maxConnectTime, maxConnectTime)
        let alarm = connection.closeAfter(patience)
        connection.greeting.whenComplete { _ in alarm.cancel() }
        try await connection.cancellable { try await connection.greeting.get() }
        if let lifetime { _ = connection.closeAfter(lifetime) }
        return connection
    }

    private init(_ channel: any Channel, idleTime: TimeAmount) throws {
        self.channel = channel
        let promise = channel.eventLoop.makePromise(of: Void.self)
        let handler = ExchangeHandler(channel.eventLoop)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(IdleStateHandler(allTimeout: idleTime))
        try pipeline.addHandler(GreetingHandler(promise))
        try pipeline.addHTTPClientHandlers()
        try pipeline.addHandlers(HTTP1ToHTTPClientCodec(), handler)
        exchange = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        greeting = promise.futureResult
    }

    /// Sends a part of the request; returns once the socket has taken it.
    private func send(_ part: HTTPRequestPart) async throws {
        try await cancellable { try await channel.writeAndFlush(part).get() }
    }

    /// Sends a part; false where the guest takes no more. It may have answered and closed without reading on, so that
    /// the answer, or its absence, is what counts.
    func isSent(_ part: HTTPRequestPart) async -> Bool {
        do {
            try await send(part)
            return true
        } catch {
            return false
        }
    }

    /// The next part of the answer; nil after its end. Throws ``GuestConnectionError`` or a parser's error.
    func next() async throws -> HTTPResponsePart? {
        let exchange = exchange
        return try await cancellable {
            try await channel.eventLoop.flatSubmit { exchange.value.next() }.get()
        }
    }

    /// The head of the answer, past any interim ones.
    func head() async throws -> HTTPResponse {
        while let part = try await next() {
            if case .head(let head) = part, head.status.kind != .informational { return head }
        }
        throw GuestConnectionError.closedEarly
    }

    func close() {
        channel.close(promise: nil)
    }

    private func closeAfter(_ delay: TimeAmount) -> Scheduled<Void> {
        let exchange = exchange
        return channel.eventLoop.scheduleTask(in: delay) { exchange.value.expire() }
    }

    private func cancellable<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        try await withTaskCancellationHandler(operation: body, onCancel: { channel.close(promise: nil) })
    }
}

/// Takes the relay's greeting off the stream.
private final class GreetingHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var promise: EventLoopPromise<Void>?

    init(_ promise: EventLoopPromise<Void>) {
        self.promise = promise
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard promise != nil else { return context.fireChannelRead(data) }
        var buffer = unwrapInboundIn(data)
        guard let byte = buffer.readInteger(as: UInt8.self) else { return }
        if byte == GuestRelay.greeting {
            finish(.success(()))
        } else {
            finish(.failure(GuestConnectionError.refused))
            context.close(promise: nil)
        }
        if buffer.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(buffer)) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(.failure(GuestConnectionError.refused))
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish(.failure(GuestConnectionError.refused))
    }

    private func finish(_ result: Result<Void, any Error>) {
        promise?.completeWith(result)
        promise = nil
    }
}

/// Hands out the parts of an answer one by one.
private final class ExchangeHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPResponsePart

    private let eventLoop: any EventLoop
    private var context: ChannelHandlerContext?
    private var parts: [HTTPResponsePart] = []
    private var waiter: EventLoopPromise<HTTPResponsePart?>?
    private var isEnded = false
    private var failure: (any Error)?

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        fail(GuestConnectionError.closedEarly)
    }

    func next() -> EventLoopFuture<HTTPResponsePart?> {
        let promise = eventLoop.makePromise(of: HTTPResponsePart?.self)
        precondition(waiter == nil, "one reader at a time")
        waiter = promise
        serve()
        if waiter != nil { context?.read() }
        return promise.futureResult
    }

    func expire() {
        fail(GuestConnectionError.timedOut)
        context?.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        parts.append(unwrapInboundIn(data))
        serve()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if waiter != nil { context.read() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(GuestConnectionError.closedEarly)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(error)
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { expire() }
        context.fireUserInboundEventTriggered(event)
    }

    private func fail(_ error: any Error) {
        if failure == nil { failure = error }
        serve()
    }

    private func serve() {
        guard let promise = waiter else { return }
        if !parts.isEmpty {
            let part = parts.removeFirst()
            if case .end = part { isEnded = true }
            waiter = nil
            promise.succeed(part)
        } else if isEnded {
            waiter = nil
            promise.succeed(nil)
        } else if let failure {
            waiter = nil
            promise.fail(failure)
        }
    }
}
