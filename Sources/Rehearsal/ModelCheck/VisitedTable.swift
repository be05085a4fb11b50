// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The situations that a search has met, by their fingerprints alone: 18 bytes each, in open addressing.
///
/// It is parted by the fingerprints' first bits, and each part grows for itself, so that growing never holds the whole
/// table twice.
struct VisitedTable {
    /// What is known of a situation.
    enum Mark: Equatable {
        /// It is on the way that is being gone.
        case open
        /// Everything behind it has been seen; the longest way from it to an end has so many steps.
        case closed(height: Int)

        /// 0 is an empty place.
        fileprivate var number: UInt16 {
            switch self {
            case .open: 1
            case .closed(let height): UInt16(height + 2)
            }
        }

        fileprivate init(number: UInt16) { self = number == 1 ? .open : .closed(height: Int(number) - 2) }
    }

    /// The longest way that can be told of.
    static let maxHeight = Int(UInt16.max) - 2

    private struct Part {
        var prints: [SituationFingerprint]
        var marks: [UInt16]
        var count = 0

        init(places: Int) {
            prints = Array(repeating: SituationFingerprint(low: 0, high: 0), count: places)
            marks = Array(repeating: 0, count: places)
        }

        /// Where the fingerprint is, or would be.
        func place(of print: SituationFingerprint) -> Int {
            let mask = marks.count - 1
            var place = Int(truncatingIfNeeded: print.low) & mask
            while marks[place] != 0, prints[place] != print { place = (place + 1) & mask }
            return place
        }

        /// Doubles once seven in eight places are taken.
        mutating func grow() {
            guard count * 8 >= marks.count * 7 else { return }
            var larger = Part(places: marks.count * 2)
            for place in marks.indices where marks[place] != 0 {
                let new = larger.place(of: prints[place])
                larger.prints[new] = prints[place]
                larger.marks[new] = marks[place]
            }
            larger.count = count
            self = larger
        }
    }

    private static let parts = 64
    private var parts = Array(repeating: Part(places: 64), count: VisitedTable.parts)
    private(set) var count = 0

    /// The mark of a situation that was met before; otherwise nil, and it is open from now on.
    mutating func meet(_ print: SituationFingerprint) -> Mark? {
        let part = Int(print.high >> 58)
        let place = parts[part].place(of: print)
        if parts[part].marks[place] != 0 { return Mark(number: parts[part].marks[place]) }
        parts[part].prints[place] = print
        parts[part].marks[place] = Mark.open.number
        parts[part].count += 1
        parts[part].grow()
        count += 1
        return nil
    }

    /// Closes a situation that was met.
    mutating func close(_ print: SituationFingerprint, height: Int) {
        let part = Int(print.high >> 58)
        parts[part].marks[parts[part].place(of: print)] =
            Mark.closed(height: min(height, VisitedTable.maxHeight)).number
    }
}
