// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Dispatch

/// Runs a repository's work on a queue of its own: libgit2 blocks, and the cooperative pool must not.
final class GitExecutor: SerialExecutor {
    let queue = DispatchQueue(label: "airboss.git")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedSerialExecutor()
        queue.async { job.runSynchronously(on: executor) }
    }
}
