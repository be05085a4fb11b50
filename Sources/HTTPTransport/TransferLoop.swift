// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl
internal import Glibc
internal import Synchronization

/// Names a transfer to its loop, and tells it when nobody waits for it any longer.
final class TransferTicket: Sendable {
    private let cancelled = Atomic(false)

    var isCancelled: Bool { cancelled.load(ordering: .acquiring) }

    func cancel() { cancelled.store(true, ordering: .releasing) }
}

/// How the loop ended a transfer.
enum TransferEnding {
    /// curl finished it, well or badly.
    case finished(CURLcode)
    case cancelled
    case deadlinePassed
    /// The loop is being shut down.
    case shutDown
    /// Too many transfers wait already.
    case refused
}

/// Something that a ``TransferLoop`` carries out; but for its ticket and deadline it is used only on the loop's thread.
protocol LoopTransfer: AnyObject, Sendable {
    var ticket: TransferTicket { get }
    /// When it ends at the latest, waiting included.
    var deadline: ContinuousClock.Instant { get }
    /// Makes the handle that the loop runs, or nil after having failed to, and then it has ended already.
    func begin(share: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer?
    /// Called before a transfer is taken out of curl unfinished.
    func interrupt()
    /// Called exactly once for a transfer that has begun or waited; its handle is out of the loop by then.
    func end(_ ending: TransferEnding)
}

/// A thread that runs transfers over curl's multi interface.
///
/// The thread starts with the first transfer and ends with ``shutDown()`` or when this object goes away.
final class TransferLoop: Sendable {
    /// Connections kept or opened at once, to all hosts together.
    static let maxConnections = 64
    /// Connections opened at once to one host and port; further transfers wait for one.
    static let maxConnectionsPerHost = 16
    /// Transfers handed to curl at once.
    static let maxActiveTransfers = 256
    /// Transfers that wait to be handed to curl.
    static let maxWaitingTransfers = 4096

    private let core: LoopCore

    init(threadName: String) {
        core = LoopCore(threadName: threadName)
    }

    deinit {
        core.requestStop()
    }

    func submit(_ transfer: any LoopTransfer) {
        core.submit(transfer)
    }

    /// Ends the transfer wherever it is; one that is not there yet ends as soon as it arrives.
    func cancel(_ ticket: TransferTicket) {
        ticket.cancel()
        core.cancel(ticket)
    }

    /// Ends every transfer, closes every connection, and returns when the thread is gone.
    func shutDown() async {
        await withCheckedContinuation { continuation in
            core.requestStop(thenResuming: continuation)
        }
    }
}

/// What the thread and the callers share; the thread keeps it alive.
private final class LoopCore: Sendable {
    /// curl's multi handle.
    ///
    /// Sendable because only its thread uses it, but for `curl_multi_wakeup`, which curl allows from any thread and
    /// which is called under the mailbox's lock, so never after the clean-up.
    struct MultiHandle: @unchecked Sendable {
        let pointer: UnsafeMutableRawPointer
    }

    struct Mailbox {
        enum Phase {
            /// Next: `running`, `ended`.
            case idle
            /// Next: `stopping`.
            case running(MultiHandle)
            /// Next: `ended`.
            case stopping
            case ended
        }

        var phase = Phase.idle
        var submitted: [any LoopTransfer] = []
        var cancelled: [TransferTicket] = []
        var awaitingEnd: [CheckedContinuation<Void, Never>] = []
    }

    let threadName: String
    private let mailbox = Mutex(Mailbox())

    init(threadName: String) {
        self.threadName = threadName
    }

    func submit(_ transfer: any LoopTransfer) {
        let isAccepted = mailbox.withLock { mailbox in
            switch mailbox.phase {
            case .idle:
                guard let multi = startThread() else { return false }
                mailbox.phase = .running(multi)
                mailbox.submitted.append(transfer)
                return true
            case .running(let multi):
                mailbox.submitted.append(transfer)
                curl_multi_wakeup(multi.pointer)
                return true
            case .stopping, .ended:
                return false
            }
        }
        if !isAccepted { transfer.end(.shutDown) }
    }

    func cancel(_ ticket: TransferTicket) {
        mailbox.withLock { mailbox in
            guard case .running(let multi) = mailbox.phase else { return }
            mailbox.cancelled.append(ticket)
            curl_multi_wakeup(multi.pointer)
        }
    }

    func requestStop(thenResuming continuation: CheckedContinuation<Void, Never>? = nil) {
        let hasEnded = mailbox.withLock { mailbox in
            switch mailbox.phase {
            case .idle:
                mailbox.phase = .ended
                return true
            case .running(let multi):
                if let continuation { mailbox.awaitingEnd.append(continuation) }
                mailbox.phase = .stopping
                curl_multi_wakeup(multi.pointer)
                return false
            case .stopping:
                if let continuation { mailbox.awaitingEnd.append(continuation) }
                return false
            case .ended:
                return true
            }
        }
        if hasEnded { continuation?.resume() }
    }

    /// curl's own initialisation, once in a process.
    private static let isCurlReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    /// Nil where the system has no thread or memory to give.
    private func startThread() -> MultiHandle? {
        guard Self.isCurlReady, let pointer = curl_multi_init() else { return nil }
        airboss_multi_set_long(pointer, CURLMOPT_MAX_TOTAL_CONNECTIONS, TransferLoop.maxConnections)
        airboss_multi_set_long(pointer, CURLMOPT_MAX_HOST_CONNECTIONS, TransferLoop.maxConnectionsPerHost)
        airboss_multi_set_long(pointer, CURLMOPT_MAXCONNECTS, TransferLoop.maxConnections)
        // One HTTP/2 transfer on a connection at a time: with several, a transfer over libcurl 7.88 can hang under load
        // until it counts as stalled (the test of HTTP/2 shows it with CURLPIPE_MULTIPLEX).
        airboss_multi_set_long(pointer, CURLMOPT_PIPELINING, Int(CURLPIPE_NOTHING))
        let multi = MultiHandle(pointer: pointer)
        let start = Unmanaged.passRetained(ThreadStart(core: self, multi: multi))
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
                LoopCore.prepareThread(named: start.core.threadName)
                start.core.run(start.multi.pointer)
                return nil
            }, start.toOpaque())
        guard failure == 0 else {
            start.release()
            curl_multi_cleanup(pointer)
            return nil
        }
        pthread_detach(thread)
        return multi
    }

    /// Signals are for the threads that expect them; above all a SIGPIPE of OpenSSL's must not end the process.
    private static func prepareThread(named name: String) {
        var every = sigset_t()
        sigfillset(&every)
        pthread_sigmask(SIG_BLOCK, &every, nil)
        airboss_name_thread(name)
    }

    private func run(_ multi: UnsafeMutableRawPointer) {
        var turn = LoopTurn(multi: multi)
        while true {
            let (submitted, cancelled, isStopping) = mailbox.withLock { mailbox in
                defer {
                    mailbox.submitted = []
                    mailbox.cancelled = []
                }
                if case .stopping = mailbox.phase { return (mailbox.submitted, mailbox.cancelled, true) }
                return (mailbox.submitted, mailbox.cancelled, false)
            }
            turn.accept(submitted)
            cancelled.forEach { turn.cancel($0) }
            if isStopping { break }
            turn.perform()
        }
        turn.endAll()
        let awaitingEnd = mailbox.withLock { mailbox in
            mailbox.phase = .ended
            return mailbox.awaitingEnd
        }
        turn.cleanUp()
        awaitingEnd.forEach { $0.resume() }
    }
}

/// What the new thread is given.
private final class ThreadStart: Sendable {
    let core: LoopCore
    let multi: LoopCore.MultiHandle

    init(core: LoopCore, multi: LoopCore.MultiHandle) {
        self.core = core
        self.multi = multi
    }
}

/// The loop's state, all of it local to its thread.
private struct LoopTurn {
    /// curl ends an overdue transfer itself, with better words; the loop does so where curl has not looked at it yet.
    static let deadlineGrace: Duration = .milliseconds(250)
    /// How long the thread sleeps with nothing to do.
    static let idlePollMilliseconds: Int32 = 60_000

    let multi: UnsafeMutableRawPointer
    /// Cookies and TLS sessions of this loop's transfers; used by one thread, so it needs no locks.
    let share: UnsafeMutableRawPointer
    var active: [UnsafeMutableRawPointer: any LoopTransfer] = [:]
    var handles: [ObjectIdentifier: UnsafeMutableRawPointer] = [:]
    var waiting: [any LoopTransfer] = []

    init(multi: UnsafeMutableRawPointer) {
        self.multi = multi
        guard let share = curl_share_init() else { fatalError("no memory for a curl share") }
        self.share = share
        airboss_share_data(share, CURL_LOCK_DATA_COOKIE)
        airboss_share_data(share, CURL_LOCK_DATA_SSL_SESSION)
    }

    mutating func accept(_ transfers: [any LoopTransfer]) {
        for transfer in transfers {
            if waiting.count >= TransferLoop.maxWaitingTransfers {
                transfer.end(.refused)
            } else {
                waiting.append(transfer)
            }
        }
    }

    mutating func cancel(_ ticket: TransferTicket) {
        if let handle = handles[ObjectIdentifier(ticket)] {
            interrupt(handle)?.end(.cancelled)
        }
        // One that waits is ended by `admit`, which sees the ticket.
    }

    /// Runs what can run, hands out what has ended, and sleeps until something happens.
    mutating func perform() {
        endOverdue()
        repeat {
            admit()
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
        } while handOut()
        curl_multi_poll(multi, nil, 0, pollMilliseconds, nil)
    }

    private mutating func admit() {
        if waiting.contains(where: \.ticket.isCancelled) {
            waiting.filter(\.ticket.isCancelled).forEach { $0.end(.cancelled) }
            waiting.removeAll(where: \.ticket.isCancelled)
        }
        let free = min(waiting.count, TransferLoop.maxActiveTransfers - active.count)
        guard free > 0 else { return }
        for transfer in waiting.prefix(free) {
            guard let handle = transfer.begin(share: share) else { continue }
            guard curl_multi_add_handle(multi, handle) == CURLM_OK else {
                transfer.end(.finished(CURLE_FAILED_INIT))
                continue
            }
            active[handle] = transfer
            handles[ObjectIdentifier(transfer.ticket)] = handle
        }
        waiting.removeFirst(free)
    }

    /// Whether anything ended, so that there is room for what waits.
    private mutating func handOut() -> Bool {
        var hasEnded = false
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left)?.pointee {
            guard message.msg == CURLMSG_DONE, let handle = message.easy_handle else { continue }
            let code = message.data.result
            remove(handle)?.end(.finished(code))
            hasEnded = true
        }
        return hasEnded
    }

    private mutating func endOverdue() {
        let limit = ContinuousClock.now - Self.deadlineGrace
        for (handle, transfer) in active where transfer.deadline < limit {
            interrupt(handle)?.end(.deadlinePassed)
        }
        for transfer in waiting where transfer.deadline < limit { transfer.end(.deadlinePassed) }
        waiting.removeAll { $0.deadline < limit }
    }

    private var pollMilliseconds: Int32 {
        let next = (active.values.lazy.map(\.deadline).min(), waiting.lazy.map(\.deadline).min())
        guard let deadline = [next.0, next.1].compactMap({ $0 }).min() else { return Self.idlePollMilliseconds }
        let left = ContinuousClock.now.duration(to: deadline) + Self.deadlineGrace
        return Int32(min(left.millisecondsForCurl + 1, Int(Self.idlePollMilliseconds)))
    }

    private mutating func interrupt(_ handle: UnsafeMutableRawPointer) -> (any LoopTransfer)? {
        active[handle]?.interrupt()
        return remove(handle)
    }

    private mutating func remove(_ handle: UnsafeMutableRawPointer) -> (any LoopTransfer)? {
        guard let transfer = active.removeValue(forKey: handle) else { return nil }
        handles[ObjectIdentifier(transfer.ticket)] = nil
        curl_multi_remove_handle(multi, handle)
        return transfer
    }

    mutating func endAll() {
        for handle in active.keys.map({ $0 }) { interrupt(handle)?.end(.shutDown) }
        waiting.forEach { $0.end(.shutDown) }
        waiting = []
    }

    func cleanUp() {
        curl_multi_cleanup(multi)
        curl_share_cleanup(share)
    }
}
