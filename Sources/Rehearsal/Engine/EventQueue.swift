// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// What is to happen, by time; what falls on the same millisecond happens in the order in which it was put in.
struct EventQueue<Element> {
    private struct Entry {
        var at: Int64
        var order: Int
        var slot: Int

        func comes(before other: Entry) -> Bool {
            at != other.at ? at < other.at : order < other.order
        }
    }

    private var heap: [Entry] = []
    /// The elements lie still while their small entries move through the heap.
    private var slots: [Element?] = []
    private var free: [Int] = []
    private var order = 0

    var isEmpty: Bool { heap.isEmpty }

    /// When the next element is due; nil where there is none.
    var nextTime: Timestamp? { heap.first.map { Timestamp(milliseconds: $0.at) } }

    mutating func insert(_ element: Element, at time: Timestamp) {
        order += 1
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = element
        } else {
            slot = slots.count
            slots.append(element)
        }
        heap.append(Entry(at: time.milliseconds, order: order, slot: slot))
        rise(from: heap.count - 1)
    }

    mutating func popFirst() -> (at: Timestamp, element: Element)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        guard let element = slots[first.slot].take() else { return nil }
        free.append(first.slot)
        return (Timestamp(milliseconds: first.at), element)
    }

    private mutating func rise(from start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard heap[index].comes(before: heap[parent]) else { return }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    private mutating func sink() {
        var index = 0
        while true {
            var least = index
            let (left, right) = (2 * index + 1, 2 * index + 2)
            if left < heap.count, heap[left].comes(before: heap[least]) { least = left }
            if right < heap.count, heap[right].comes(before: heap[least]) { least = right }
            guard least != index else { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
