// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CIsolation
internal import Glibc

/// Carries bytes between Unix sockets outside a guest's network namespace and TCP ports inside it; runs inside.
///
/// Pathname sockets cross network namespaces, so that any number of guests can listen on the same port. Each
/// connection from outside first receives one byte (``greeting``) once the guest has accepted; it is closed without
/// it where nothing listens, so that the caller knows nothing was sent.
struct GuestRelay {
    static let greeting: UInt8 = 0x01
    static let maxConnections = 4096
    static let maxBufferedBytesEachWay = 64 * 1024
    static let listenBacklog: Int32 = 1024

    private struct Listener {
        var handle: Int32
        var port: UInt16
    }

    private var listeners: [Listener] = []
    private var tunnels: [Tunnel] = []

    /// Opens the doors; the message says which failed.
    mutating func open(_ doors: [GuestPlan.Door]) -> String? {
        for door in doors {
            guard let port = UInt16(exactly: door.port), port > 0 else { return "port \(door.port) is not a TCP port" }
            let handle = socket(
                AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
            guard handle >= 0 else { return "socket: \(describe(errno))" }
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let bytes = Array(door.path.utf8)
            guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return "\(door.path) is too long" }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
            let length = socklen_t(MemoryLayout<sockaddr_un>.size)
            let bound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(handle, $0, length) }
            }
            guard bound == 0, listen(handle, GuestRelay.listenBacklog) == 0 else {
                return "\(door.path): \(describe(errno))"
            }
            listeners.append(Listener(handle: handle, port: port))
        }
        return nil
    }

    /// What to wait for, in the order ``handle(_:)`` expects.
    func interests() -> [pollfd] {
        let isFull = tunnels.count >= GuestRelay.maxConnections
        var entries = listeners.map { pollfd(fd: isFull ? -1 : $0.handle, events: Int16(POLLIN), revents: 0) }
        for tunnel in tunnels {
            entries.append(tunnel.outsideInterest)
            entries.append(tunnel.insideInterest)
        }
        return entries
    }

    mutating func handle(_ entries: ArraySlice<pollfd>) {
        var index = entries.startIndex + listeners.count
        for position in tunnels.indices {
            if entries[index].revents != 0 || entries[index + 1].revents != 0 {
                tunnels[position].advance(isOutsideGone: entries[index].revents & Int16(POLLHUP) != 0)
            }
            index += 2
        }
        tunnels.removeAll { tunnel in
            guard tunnel.isFinished else { return false }
            tunnel.close()
            return true
        }
        for (offset, listener) in listeners.enumerated() where entries[entries.startIndex + offset].revents != 0 {
            while tunnels.count < GuestRelay.maxConnections {
                let handle = isolation_accept(listener.handle)
                guard handle >= 0 else { break }
                if let tunnel = Tunnel(outside: handle, port: listener.port) {
                    tunnels.append(tunnel)
                } else {
                    Glibc.close(handle)
                }
            }
        }
    }
}

func describe(_ number: Int32) -> String {
    guard let text = strerror(number) else { return "error \(number)" }
    return String(cString: text)
}

/// Bytes on their way in one direction.
private struct Passage {
    var bytes: [UInt8] = []
    var start = 0
    /// The sender has no more to say.
    var isEnded = false
    /// The receiver has been told so.
    var isClosed = false

    var isEmpty: Bool { start == bytes.count }
    var hasRoom: Bool { !isEnded && bytes.count - start < GuestRelay.maxBufferedBytesEachWay }

    /// Reads what is there; false where the connection is broken.
    mutating func fill(from handle: Int32) -> Bool {
        while hasRoom {
            if isEmpty {
                bytes.removeAll(keepingCapacity: true)
                start = 0
            }
            let room = GuestRelay.maxBufferedBytesEachWay - (bytes.count - start)
            let (count, problem) = withUnsafeTemporaryAllocation(byteCount: room, alignment: 16) { space in
                let count = read(handle, space.baseAddress, room)
                let problem = errno
                if count > 0 { bytes.append(contentsOf: space[..<count]) }
                return (count, problem)
            }
            if count == 0 {
                isEnded = true
            } else if count < 0 {
                if problem == EAGAIN { return true }
                if problem != EINTR { return false }
            } else if count < room {
                return true
            }
        }
        return true
    }

    /// Writes what fits, and passes the end on; false where the connection is broken.
    mutating func drain(to handle: Int32) -> Bool {
        while !isEmpty {
            let count = bytes.withUnsafeBytes {
                send(handle, $0.baseAddress! + start, $0.count - start, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EAGAIN { return true }
                if errno != EINTR { return false }
            } else {
                start += count
            }
        }
        if isEnded && !isClosed {
            shutdown(handle, Int32(SHUT_WR))
            isClosed = true
        }
        return true
    }
}

/// One connection through the relay.
private struct Tunnel {
    private enum Phase {
        case connecting(isIPv6: Bool)
        case open
        case broken
    }

    private let outside: Int32
    private var inside: Int32
    private let port: UInt16
    private var phase: Phase
    private var toInside = Passage()
    private var toOutside = Passage()

    /// Nil where nothing listens on the port.
    init?(outside: Int32, port: UInt16) {
        self.outside = outside
        self.port = port
        inside = -1
        phase = .broken
        guard dial(isIPv6: false) || dial(isIPv6: true) else { return nil }
        advance(isOutsideGone: false)
    }

    private var isOpen: Bool {
        if case .open = phase { true } else { false }
    }

    var isFinished: Bool {
        if case .broken = phase { return true }
        return toInside.isClosed && toOutside.isClosed
    }

    var insideInterest: pollfd {
        switch phase {
        case .connecting:
            return pollfd(fd: inside, events: Int16(POLLOUT), revents: 0)
        case .open:
            var events: Int16 = 0
            if toOutside.hasRoom { events |= Int16(POLLIN) }
            if !toInside.isEmpty { events |= Int16(POLLOUT) }
            return pollfd(fd: events == 0 ? -1 : inside, events: events, revents: 0)
        case .broken:
            return pollfd(fd: -1, events: 0, revents: 0)
        }
    }

    var outsideInterest: pollfd {
        var events: Int16 = 0
        if isOpen && toInside.hasRoom { events |= Int16(POLLIN) }
        if !toOutside.isEmpty { events |= Int16(POLLOUT) }
        // With nothing left to deliver, a caller that is gone altogether ends the tunnel.
        let isWatched = events != 0 || (isOpen && toInside.isEmpty)
        return pollfd(fd: isWatched ? outside : -1, events: events, revents: 0)
    }

    mutating func advance(isOutsideGone: Bool) {
        if case .connecting(let isIPv6) = phase {
            var problem: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            var entry = pollfd(fd: inside, events: Int16(POLLOUT), revents: 0)
            guard poll(&entry, 1, 0) > 0 else { return }
            getsockopt(inside, SOL_SOCKET, SO_ERROR, &problem, &length)
            if problem != 0 {
                Glibc.close(inside)
                inside = -1
                if isIPv6 || !dial(isIPv6: true) { phase = .broken }
                return
            }
            phase = .open
            toOutside.bytes = [GuestRelay.greeting]
        }
        guard isOpen else { return }
        let works =
            toInside.fill(from: outside) && toInside.drain(to: inside) && toOutside.fill(from: inside)
            && toOutside.drain(to: outside)
        if !works || (isOutsideGone && toInside.isEmpty) { phase = .broken }
    }

    func close() {
        Glibc.close(outside)
        if inside >= 0 { Glibc.close(inside) }
    }

    private mutating func dial(isIPv6: Bool) -> Bool {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let handle = socket(isIPv6 ? AF_INET6 : AF_INET, kind, 0)
        guard handle >= 0 else { return false }
        let result: Int32
        if isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            address.sin6_addr = in6addr_loopback
            result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(handle, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(handle, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        guard result == 0 || errno == EINPROGRESS else {
            Glibc.close(handle)
            return false
        }
        inside = handle
        phase = .connecting(isIPv6: isIPv6)
        return true
    }
}
