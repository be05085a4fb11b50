// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CGit2
package import Model

/// What a deployment from one commit to another brings.
package struct CommitRange: Hashable, Codable, Sendable {
    package enum Relation: String, Codable, Sendable {
        /// Both are the same commit.
        case same
        /// The target has everything the deployed commit has, and more.
        case forward
        /// The target is an ancestor of the deployed commit: going back.
        case backward
        /// Each has commits that the other has not.
        case diverged
    }

    package var relation: Relation
    /// What the target has and the deployed commit has not: by commit time, newest first, at most the limit asked for.
    package var commits: [Commit]
    /// How many there are in all.
    package var count: Int
    /// How many commits the deployed commit has and the target has not: they are undone.
    package var undoneCount: Int

    package init(relation: Relation, commits: [Commit], count: Int, undoneCount: Int) {
        self.relation = relation
        self.commits = commits
        self.count = count
        self.undoneCount = undoneCount
    }
    /// Whether ``commits`` leaves out the oldest.
    package var isTruncated: Bool { commits.count < count }
}

/// Whether a branch has a commit, and how that is known.
package struct BranchMembership: Hashable, Codable, Sendable {
    package var isContained: Bool
    /// The full name of the reference that has the commit, or of the first one looked at: `refs/remotes/origin/main`.
    package var reference: String
    /// Whether the reference shows what a remote has; if not, the commit may not be pushed yet.
    package var isRemoteTracking: Bool

    package init(isContained: Bool, reference: String, isRemoteTracking: Bool) {
        self.isContained = isContained
        self.reference = reference
        self.isRemoteTracking = isRemoteTracking
    }
}

extension GitRepository {
    /// Walks stop here rather than fill the memory.
    private static let maxCommitsVisited = 5_000_000

    /// How far a commit's clock may be behind its parent's, in seconds, before a range can be wrong (git itself allows
    /// for five commits).
    private static let clockSkewTolerated: Int64 = 86_400

    /// Whether `ancestor` is `descendant` or in its history. Throws `shallow` where the clone hides the answer.
    package func isAncestor(_ ancestor: CommitID, of descendant: CommitID) throws(GitError) -> Bool {
        let wanted = try object(ancestor)
        let start = try object(descendant)
        if wanted == start {
            _ = try commitHandle(start)
            return true
        }
        if try graphNode(wanted) == nil { _ = try commitHandle(wanted) }
        return try reaches(wanted, from: start)
    }

    /// Whether a branch has a commit. What a remote's branch was when last fetched (`origin/BRANCH`, or the branch's
    /// own upstream) is looked at before the local branch; in a CI checkout it may be the only one. Throws `notFound`
    /// where there is neither, `shallow` where the clone hides the answer.
    package func branchContains(_ commit: CommitID, branch: String) throws(GitError) -> BranchMembership {
        let wanted = try object(commit)
        let name = branch.hasPrefix("refs/heads/") ? String(branch.dropFirst(11)) : branch
        var names = ["refs/remotes/origin/" + name, "refs/heads/" + name, "refs/remotes/" + name]
        if let upstream = upstream(of: "refs/heads/" + name), upstream != names[0] { names.insert(upstream, at: 1) }
        let found = names.compactMap { name in target(of: name).map { (name: name, tip: $0) } }
        guard let first = found.first else { throw noBranch(name) }
        var hidden: GitError?
        if try graphNode(wanted) == nil {
            // Says why it is not here.
            _ = try commitHandle(wanted)
        }
        for (name, tip) in found {
            do throws(GitError) {
                guard try reaches(wanted, from: tip) else { continue }
                return BranchMembership(
                    isContained: true, reference: name, isRemoteTracking: name.hasPrefix("refs/remotes/"))
            } catch {
                guard error.code == .shallow else { throw error }
                hidden = hidden ?? error
            }
        }
        if let hidden { throw hidden }
        return BranchMembership(
            isContained: false, reference: first.name, isRemoteTracking: first.name.hasPrefix("refs/remotes/"))
    }

    /// What going from the deployed commit to the target brings and undoes, with at most `limit` commits. Throws
    /// `shallow` where the clone hides a part of it. Commits whose clocks are more than a day behind their parents' may
    /// be counted though both sides have them.
    package func commitsBetween(
        _ deployed: CommitID, _ target: CommitID, limit: Int = 250
    ) throws(GitError) -> CommitRange {
        let old = try object(deployed)
        let new = try object(target)
        for side in [new, old] where try graphNode(side) == nil { _ = try commitHandle(side) }
        if old == new { return CommitRange(relation: .same, commits: [], count: 0, undoneCount: 0) }
        let (added, undoneCommits) = try differences(new, old)
        let undone = undoneCommits.count
        let tags = added.isEmpty ? [:] : tagsByCommit()
        var commits: [Commit] = []
        for id in added.prefix(max(0, limit)) { commits.append(try commit(id, tags: tags)) }
        let relation: CommitRange.Relation =
            added.isEmpty ? .backward : undone == 0 ? .forward : .diverged
        return CommitRange(relation: relation, commits: commits, count: added.count, undoneCount: undone)
    }

    private func noBranch(_ name: String) -> GitError {
        let near = Nearest.names(
            to: name,
            among: Set(
                referenceNames().filter { $0.hasPrefix("refs/heads/") || $0.hasPrefix("refs/remotes/") }
                    .map { $0.hasPrefix("refs/heads/") ? $0.dropFirst(11) : $0.dropFirst(13) }
                    .map { $0.hasPrefix("origin/") ? String($0.dropFirst(7)) : String($0) }))
        let text = shown(name)
        return GitError(
            .notFound, "There is neither a branch \(text) nor origin/\(text)",
            hint: near.isEmpty
                ? "fetch it: git fetch origin +refs/heads/\(text):refs/remotes/origin/\(text)"
                : "did you mean \(near.map(shown).joined(separator: " or "))?")
    }

    private func upstream(of branch: String) -> String? {
        var buffer = git_buf()
        guard git_branch_upstream_name(&buffer, handle.pointer, branch) >= 0, let text = buffer.ptr else { return nil }
        defer { git_buf_dispose(&buffer) }
        return String(cString: text)
    }

    private struct GraphNode {
        var time: Int64
        var parents: [ObjectID]
    }

    /// What a walk needs of a commit; nil where it is not here.
    private func graphNode(_ id: ObjectID) throws(GitError) -> GraphNode? {
        var oid = id.oid
        var pointer: OpaquePointer?
        let result = git_commit_lookup(&pointer, handle.pointer, &oid)
        if result == GIT_ENOTFOUND.rawValue { return nil }
        guard result >= 0, let pointer else { throw .last(result) { "Commit \(id.hex.prefix(10)) can't be read" } }
        let commit = GitHandle<CommitKind>(owning: pointer)
        let parents = (0..<git_commit_parentcount(commit.pointer)).compactMap { index in
            git_commit_parent_id(commit.pointer, index).map { ObjectID($0.pointee) }
        }
        return GraphNode(time: git_commit_time(commit.pointer), parents: parents)
    }

    private func hiddenHistory(of id: ObjectID) -> GitError {
        missing("The history before commit \(id.hex.prefix(10)) is not in this clone, so the answer can't be seen")
    }

    private func reaches(_ wanted: ObjectID, from start: ObjectID) throws(GitError) -> Bool {
        var seen: Set<ObjectID> = [start]
        var queue = CommitQueue()
        guard let node = try graphNode(start) else { throw hiddenHistory(of: start) }
        queue.insert(start, node.time, node.parents)
        var hiddenBelow: ObjectID?
        while let next = queue.removeNewest() {
            if next.id == wanted { return true }
            for parent in next.parents where seen.insert(parent).inserted {
                if let node = try graphNode(parent) {
                    queue.insert(parent, node.time, node.parents)
                } else {
                    hiddenBelow = hiddenBelow ?? next.id
                }
            }
            try checkWalk(seen.count)
        }
        if let hiddenBelow { throw hiddenHistory(of: hiddenBelow) }
        return false
    }

    /// The commits of `left` that `right` has not, and those of `right` that `left` has not, newest first. Paints both
    /// histories down until only common commits are left to visit, as git's merge-base does, and further until clock
    /// skew of ``clockSkewTolerated`` can't change the answer.
    func differences(
        _ left: ObjectID, _ right: ObjectID
    ) throws(GitError) -> (left: [ObjectID], right: [ObjectID]) {
        let (fromLeft, fromRight, fromBoth): (UInt8, UInt8, UInt8) = (1, 2, 3)
        var colours: [ObjectID: UInt8] = [:]
        var nodes: [ObjectID: GraphNode] = [:]
        var order: [ObjectID] = []
        var visited: Set<ObjectID> = []
        var hiding: Set<ObjectID> = []
        var queue = CommitQueue()
        var unsettled = 0
        var oldestOneSided = Int64.max

        func add(_ id: ObjectID, _ colour: UInt8, child: ObjectID) throws(GitError) {
            let old = colours[id] ?? 0
            guard old | colour != old else { return }
            if nodes[id] == nil {
                guard let node = try graphNode(id) else {
                    hiding.insert(child)
                    return
                }
                nodes[id] = node
            }
            guard let node = nodes[id] else { return }
            colours[id] = old | colour
            // Visited already with one colour: its history has to be painted again.
            let isQueued = old != 0 && !visited.contains(id)
            if isQueued {
                if old != fromBoth, old | colour == fromBoth { unsettled -= 1 }
                return
            }
            if old | colour != fromBoth { unsettled += 1 }
            visited.remove(id)
            queue.insert(id, node.time, node.parents)
        }

        try add(left, fromLeft, child: left)
        try add(right, fromRight, child: right)
        while let next = queue.newestTime, unsettled > 0 || next >= oldestOneSided - Self.clockSkewTolerated {
            guard let commit = queue.removeNewest(), let colour = colours[commit.id] else { break }
            if colour != fromBoth {
                unsettled -= 1
                oldestOneSided = min(oldestOneSided, commit.time)
                order.append(commit.id)
            }
            visited.insert(commit.id)
            for parent in commit.parents { try add(parent, colour, child: commit.id) }
            try checkWalk(colours.count)
        }
        // Below a commit of both nothing one-sided is hidden; below one of a single side anything may be.
        if let child = hiding.first(where: { colours[$0] != fromBoth }) { throw hiddenHistory(of: child) }
        let oneSided = order.filter { colours[$0] != fromBoth }
        return (oneSided.filter { colours[$0] == fromLeft }, oneSided.filter { colours[$0] == fromRight })
    }

    func checkWalk(_ count: Int) throws(GitError) {
        if count > Self.maxCommitsVisited {
            throw GitError(.limit, "The history has more than \(Self.maxCommitsVisited) commits to look through")
        }
        try checkCancellation()
    }

    func checkCancellation() throws(GitError) {
        if Task.isCancelled { throw GitError(.cancelled, "Reading the repository was cancelled") }
    }
}

/// Commits to visit, newest first; of those with the same time, the one inserted first. A binary heap.
private struct CommitQueue {
    struct Entry {
        var id: ObjectID
        var time: Int64
        var parents: [ObjectID]
        var number: Int

        func isBefore(_ other: Entry) -> Bool {
            time != other.time ? time > other.time : number < other.number
        }
    }

    private var heap: [Entry] = []
    private var inserted = 0

    var newestTime: Int64? { heap.first?.time }

    mutating func insert(_ id: ObjectID, _ time: Int64, _ parents: [ObjectID]) {
        inserted += 1
        heap.append(Entry(id: id, time: time, parents: parents, number: inserted))
        var child = heap.count - 1
        while child > 0, heap[child].isBefore(heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeNewest() -> Entry? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].isBefore(heap[best]) {
                best = child
            }
            if best == parent { return first }
            heap.swapAt(parent, best)
            parent = best
        }
    }
}
