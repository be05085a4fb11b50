// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Journals
internal import Model
internal import Notifications

/// The outbox of notices, in the state store.
struct StoredOutbox: NoticeOutbox {
    let store: any StateStore

    /// Attempts over all runs before a notice is given up.
    static let maxAttempts = 10
    /// Overdue notices looked at, of all pipelines in the store.
    static let maxOverdue = 500
    /// Before a notice that failed is due again.
    static let retryPause = Duration.seconds(60)

    func keep(_ order: NoticeOrder, key: String, at now: Timestamp) async throws {
        try await store.enqueue(
            key: key, channel: order.channel.rawValue, payload: try JSONEncoder().encode(order),
            run: order.run, at: now)
    }

    func markSent(key: String, at now: Timestamp) async throws {
        try await store.markSent(key, at: now)
    }

    func markFailed(key: String, error: String, mayRetry: Bool, at now: Timestamp) async throws {
        let next = mayRetry ? now + StoredOutbox.retryPause : nil
        try await store.markFailed(key, error: error, nextAttemptAt: next)
    }

    /// Sends what earlier runs of a pipeline could not; returns how many went out.
    func deliverOverdue(of pipeline: String, with sender: NoticeSender, at now: Timestamp) async -> Int {
        // A store that can't be read here fails the run itself a moment later, with its reason.
        guard let due = try? await store.due(now, limit: StoredOutbox.maxOverdue) else { return 0 }
        var sent = 0
        for notice in due {
            // A notice of a later version that can't be read stays where it is.
            guard var order = try? JSONDecoder().decode(NoticeOrder.self, from: notice.payload),
                order.pipeline == pipeline, notice.attempts < StoredOutbox.maxAttempts
            else { continue }
            order.isDeferred = false
            if await sender.answer(order, at: now) == .done { sent += 1 }
        }
        return sent
    }
}
