// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Dispatch
internal import Model
internal import Synchronization

/// Hears that an app's hold or queue has changed, on a connection of its own that is made when somebody first waits.
///
/// Behind a pooler nothing can be heard, since the connection that listens is not one's own; that is recognised, and
/// not tried again. A line that broke is made anew after a while. Whoever waits looks from time to time in any case.
final class PostgresListener: Sendable {
    /// How long after a failure the next attempt to listen is made.
    static let retryInterval = Duration.seconds(10)

    private struct State {
        var counts: [AppName: Int64] = [:]
        /// Added to all counts whenever something may have been missed.
        var missed: Int64 = 0
        var waiting: [Int: (app: AppName, signal: AsyncStream<Void>.Continuation)] = [:]
        var nextNumber = 0
        var isListening = false
        var isStopped = false
        /// Nil once it is known that nothing can be heard.
        var nextAttempt: ContinuousClock.Instant? = .now

        func count(_ app: AppName) -> Int64 { counts[app, default: 0] + missed }
    }

    // The source's handlers and this class touch it on the queue only, which the compiler can't see.
    private final class Line: @unchecked Sendable {
        let connection: PostgresConnection
        let source: any DispatchSourceRead

        init(_ connection: PostgresConnection, _ source: any DispatchSourceRead) {
            self.connection = connection
            self.source = source
        }
    }

    private let url: PostgresURL
    private let options: PostgresStore.Options
    private let thread = DispatchQueue(label: "airboss.state.listen")
    private let state = Mutex(State())
    private let line = Mutex<Line?>(nil)

    init(_ url: PostgresURL, _ options: PostgresStore.Options) {
        self.url = url
        self.options = options
    }

    deinit {
        PostgresListener.hangUp(line.withLock { $0 })
    }

    var isListening: Bool { state.withLock { $0.isListening } }

    /// Ends the connection and every wait.
    func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            state.isListening = false
            return Array(state.waiting.values)
        }
        for one in waiting { one.signal.finish() }
        thread.async { [self] in
            PostgresListener.hangUp(line.withLock { $0 })
            line.withLock { $0 = nil }
        }
    }

    /// A number that is another after a notification about the app, listening first where that can be done.
    func count(_ app: AppName) async -> Int64 {
        let isDue = state.withLock { state in
            guard let next = state.nextAttempt else { return false }
            return !state.isListening && !state.isStopped && ContinuousClock.now >= next
        }
        if isDue {
            await withCheckedContinuation { continuation in
                thread.async { [self] in
                    listen()
                    continuation.resume()
                }
            }
        }
        return state.withLock { $0.count(app) }
    }

    /// Returns when the count differs from `count`, at the deadline, or when the task is cancelled.
    func wait(_ app: AppName, after count: Int64, until deadline: ContinuousClock.Instant) async {
        let (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            state.nextNumber += 1
            state.waiting[state.nextNumber] = (app, signal)
            if state.count(app) != count || state.isStopped { signal.finish() }
            return state.nextNumber
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in signals { return }
            }
            group.addTask {
                // Cancelled, it returns at once, and so does the other.
                try? await Task.sleep(until: deadline)
            }
            await group.next()
            group.cancelAll()
        }
        state.withLock { $0.waiting[number] = nil }
    }

    // MARK: On the queue

    private func listen() {
        guard state.withLock({ !$0.isListening && !$0.isStopped }) else { return }
        do throws(PostgresFailure) {
            let connection = try PostgresConnection(url, patience: options.answerTimeout)
            guard try connection.isDirect() else {
                state.withLock { $0.nextAttempt = nil }
                return
            }
            try connection.script("LISTEN \(PostgresSession.channel)")
            let source = DispatchSource.makeReadSource(fileDescriptor: connection.socket, queue: thread)
            source.setEventHandler { [weak self] in self?.hear() }
            // The connection's socket must stay open until the source has let go of it.
            let made = Line(connection, source)
            source.setCancelHandler { withExtendedLifetime(made) {} }
            line.withLock { $0 = made }
            state.withLock { $0.isListening = true }
            source.resume()
        } catch {
            state.withLock { $0.nextAttempt = .now + PostgresListener.retryInterval }
        }
    }

    private func hear() {
        guard let line = line.withLock({ $0 }) else { return }
        do throws(PostgresFailure) {
            for payload in try line.connection.notifications() { wake(AppName(payload)) }
        } catch {
            PostgresListener.hangUp(line)
            self.line.withLock { $0 = nil }
            state.withLock { state in
                state.isListening = false
                state.nextAttempt = .now + PostgresListener.retryInterval
            }
            wake(nil)
        }
    }

    /// Wakes those who wait for an app; all of them, where it is nil.
    private func wake(_ app: AppName?) {
        let woken = state.withLock { state in
            if let app { state.counts[app, default: 0] += 1 } else { state.missed += 1 }
            return state.waiting.values.filter { app == nil || $0.app == app }
        }
        for one in woken { one.signal.yield() }
    }

    private static func hangUp(_ line: Line?) {
        line?.source.cancel()
    }
}
