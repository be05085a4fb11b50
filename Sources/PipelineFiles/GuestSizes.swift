// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model

/// Fly's named machine sizes. Source: the presets of Fly's API client.
enum GuestSizes {
    private static let sharedMegabytesPerCPU = 256
    private static let performanceMegabytesPerCPU = 2048

    static let fallback = "shared-cpu-1x"

    static var names: [String] {
        [1, 2, 4, 6, 8].map { "shared-cpu-\($0)x" } + [1, 2, 4, 6, 8, 10, 12, 14, 16].map { "performance-\($0)x" }
            + gpus.keys.sorted()
    }

    private static let gpus = [
        "a10": "a10", "a100-40gb": "a100-pcie-40gb", "a100-80gb": "a100-sxm4-80gb", "l40s": "l40s",
    ]

    /// The guest of a size as the platform takes it; nil for an unknown name.
    static func guest(_ name: String) -> JSONValue? {
        guard names.contains(name) else { return nil }
        if let kind = gpus[name] {
            return [
                "cpu_kind": "performance", "cpus": 8, "memory_mb": .integer(Int64(16 * performanceMegabytesPerCPU)),
                "gpus": 1, "gpu_kind": .string(kind),
            ]
        }
        let isShared = name.hasPrefix("shared")
        guard let cpus = Int(name.dropLast().drop { !("0"..."9").contains($0) }) else { return nil }
        let each = isShared ? sharedMegabytesPerCPU : performanceMegabytesPerCPU
        return [
            "cpu_kind": isShared ? "shared" : "performance", "cpus": .integer(Int64(cpus)),
            "memory_mb": .integer(Int64(cpus * each)),
        ]
    }

    /// Megabytes of a memory text: `512`, `512mb`, `1gb`, `2GiB`; all multiples of 1024, as flyctl reads them.
    static func megabytes(_ text: String) -> Int? {
        size(text, base: 1024, unit: 2)
    }

    /// Gigabytes of a volume's text: `10`, `10gb`; multiples of 1000, as flyctl reads them.
    static func gigabytes(_ text: String) -> Int? {
        size(text, base: 1000, unit: 3)
    }

    private static func size(_ text: String, base: Int, unit: Int) -> Int? {
        if let plain = Int(text) { return plain >= 0 ? plain : nil }
        let number = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        var suffix = text[number.endIndex...].lowercased().filter { $0 != " " }
        if suffix.hasSuffix("ib") { suffix.removeLast(2) } else if suffix.hasSuffix("b") { suffix.removeLast() }
        guard let value = Double(number), let power = ["", "k", "m", "g", "t"].firstIndex(of: suffix) else {
            return nil
        }
        var bytes = value
        for _ in 0..<power { bytes *= Double(base) }
        for _ in 0..<unit { bytes /= Double(base) }
        return bytes < 1e9 ? Int(bytes) : nil
    }
}
