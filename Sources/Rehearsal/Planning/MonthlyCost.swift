// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What a plan changes about the price of the machines, as far as prices are known.
package struct MonthlyCost: Hashable, Sendable {
    /// In US dollars for 30 days of running without a stop; nil where a price is not known.
    package var difference: Double?
    /// What is known of it, in one line.
    package var detail: String

    /// Where the prices come from.
    package static let source =
        "Fly's list prices of iad (fly.io/docs/about/pricing, 2024); machines that run all month"
    /// Dollars a month of a shared CPU with its 256 MB, and of a further GB, in `iad`. Elsewhere Fly takes a surcharge
    /// that differs from region to region and is not known here. Source: Fly's pricing page, "Started Fly Machines".
    private static let sharedCPU = 1.94
    private static let furtherGigabyte = 5.0

    /// One machine's size and place: what its price hangs on.
    private struct Size: Hashable, Comparable {
        var kind: String
        var cpus: Int
        var megabytes: Int
        var region: String

        init(_ config: MachineConfig, region: String) {
            let guest = config.json["guest"]
            kind = guest?["cpu_kind"]?.string ?? "shared"
            cpus = guest?["cpus"]?.integer ?? 1
            megabytes = guest?["memory_mb"]?.integer ?? 256
            if guest?["gpu_kind"] != nil { kind += " with GPU" }
            self.region = region
        }

        var price: Double? {
            guard kind == "shared", region == "iad" else { return nil }
            let further = max(0, megabytes - 256 * cpus)
            return MonthlyCost.sharedCPU * Double(cpus) + MonthlyCost.furtherGigabyte * Double(further) / 1024
        }

        var text: String { "\(kind) \(cpus) CPU, \(megabytes) MB in \(region)" }

        static func < (left: Size, right: Size) -> Bool { left.text < right.text }
    }

    /// - Parameters:
    ///   - before: every machine as it is.
    ///   - after: every machine as it will be.
    package init(
        before: [(config: MachineConfig, region: String)], after: [(config: MachineConfig, region: String)]
    ) {
        var counts: [Size: Int] = [:]
        for machine in before { counts[Size(machine.config, region: machine.region), default: 0] -= 1 }
        for machine in after { counts[Size(machine.config, region: machine.region), default: 0] += 1 }
        let changed = counts.filter { $0.value != 0 }.sorted { $0.key < $1.key }
        guard !changed.isEmpty else {
            difference = 0
            detail = "none: as many machines of the same sizes"
            return
        }
        let words = changed.map { "\($0.value > 0 ? "+" : "−")\(abs($0.value)) × \($0.key.text)" }
            .joined(separator: "; ")
        var sum = 0.0
        for (size, count) in changed {
            guard let price = size.price else {
                difference = nil
                detail = "unknown, for no price is known of \(size.text): \(words)"
                return
            }
            sum += price * Double(count)
        }
        difference = (sum * 100).rounded() / 100
        detail = words
    }
}
