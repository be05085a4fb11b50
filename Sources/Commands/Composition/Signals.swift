// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

// Dispatch sources may be used from any thread; their types do not say so yet.
@preconcurrency internal import Dispatch
internal import Glibc

/// The signals that ask a run to make safe and end: SIGINT, SIGTERM, and SIGHUP for a lost terminal.
final class Signals: Sendable {
    let stream: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    private static let watched = [SIGINT, SIGTERM, SIGHUP]

    /// - Parameter received: called at each of them, before the stream tells of it.
    init(_ received: @escaping @Sendable () -> Void = {}) {
        let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
        self.stream = stream
        sources = Signals.watched.map { number in
            // Without this the signal's default would end the process before anybody is told.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                received()
                continuation.yield(number)
            }
            source.resume()
            return source
        }
    }

    /// Listens no longer. The signals stay ignored: one that comes while the last words are said must not end the
    /// process with another exit code than the run's.
    func stop() {
        for source in sources { source.cancel() }
    }
}
