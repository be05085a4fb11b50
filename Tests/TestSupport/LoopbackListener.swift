// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import Glibc
internal import Synchronization

/// Why a loopback server could not be started.
package struct LoopbackFailure: Error, CustomStringConvertible {
    package var description: String
}

/// Listens on 127.0.0.1 at a port of the system's choice and gives every connection a thread of its own.
final class LoopbackListener: Sendable {
    private struct State {
        var connections: [Int: LoopbackConnection] = [:]
        var accepted = 0
        var isStopped = false
    }

    let port: Int
    private let descriptor: Int32
    private let state = Mutex(State())
    private let threads = DispatchGroup()

    init() throws(LoopbackFailure) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, size) == 0 && listen(descriptor, 1024) == 0
                    && getsockname(descriptor, address, &size) == 0
            }
        }
        guard isListening else {
            close(descriptor)
            throw LoopbackFailure(description: "cannot listen on 127.0.0.1: \(String(cString: strerror(errno)))")
        }
        self.descriptor = descriptor
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit {
        close(descriptor)
    }

    /// Connections accepted so far.
    var accepted: Int { state.withLock { $0.accepted } }

    /// Connections that are open now.
    var open: Int { state.withLock { $0.connections.count } }

    /// Starts accepting; `serve` runs on the connection's own thread, and the connection is closed after it.
    func start(_ serve: @escaping @Sendable (LoopbackConnection) -> Void) {
        startThread { [self] in
            while true {
                let accepted = accept(descriptor, nil, nil)
                if accepted < 0 {
                    if errno == EINTR || errno == ECONNABORTED { continue }
                    return
                }
                _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
                let connection = state.withLock { state -> LoopbackConnection? in
                    guard !state.isStopped else { return nil }
                    state.accepted += 1
                    let connection = LoopbackConnection(descriptor: accepted, number: state.accepted)
                    state.connections[state.accepted] = connection
                    return connection
                }
                guard let connection else {
                    close(accepted)
                    return
                }
                startThread { [self] in
                    serve(connection)
                    state.withLock { _ = $0.connections.removeValue(forKey: connection.number) }
                    connection.close()
                }
            }
        }
    }

    /// Ends every connection and waits for the threads.
    func stop() {
        state.withLock { state in
            state.isStopped = true
            state.connections.values.forEach { $0.interrupt() }
        }
        shutdown(descriptor, Int32(SHUT_RDWR))
        threads.wait()
    }

    private func startThread(_ body: @escaping @Sendable () -> Void) {
        threads.enter()
        let work = Unmanaged.passRetained(
            ThreadBody { [threads] in
                body()
                threads.leave()
            })
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, work.toOpaque())
        precondition(failure == 0, "no thread for the loopback server")
        pthread_detach(thread)
    }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) {
        self.run = run
    }
}

/// One accepted connection, with blocking reads and writes.
final class LoopbackConnection: Sendable {
    /// Linux's POLLRDHUP, which its headers hide: the far side will send nothing more.
    private static let peerClosed = Int16(0x2000)

    let number: Int
    private let descriptor: Int32
    private let isClosed = Mutex(false)

    init(descriptor: Int32, number: Int) {
        self.descriptor = descriptor
        self.number = number
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The next bytes, or nothing where the connection has ended.
    func read() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            return count > 0 ? Array(buffer[..<count]) : []
        }
    }

    /// False where the far side is gone.
    @discardableResult
    func write(_ bytes: some Sequence<UInt8>) -> Bool {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Waits, for ever without a duration; false where the far side went away meanwhile.
    @discardableResult
    func pause(_ duration: Duration?) -> Bool {
        let milliseconds = duration.map {
            Int32($0.components.seconds * 1000 + $0.components.attoseconds / 1_000_000_000_000_000)
        }
        var watched = pollfd(fd: descriptor, events: Self.peerClosed, revents: 0)
        return poll(&watched, 1, milliseconds ?? -1) == 0
    }

    /// Ends the connection with a TCP reset.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        close()
    }

    /// Wakes a thread that reads, writes or waits.
    func interrupt() {
        isClosed.withLock { if !$0 { _ = shutdown(descriptor, Int32(SHUT_RDWR)) } }
    }

    func close() {
        isClosed.withLock { isClosed in
            if !isClosed { _ = Glibc.close(descriptor) }
            isClosed = true
        }
    }
}
