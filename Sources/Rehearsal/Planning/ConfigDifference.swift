// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// One value of a machine's config that changes, by its dotted key.
package struct ConfigDifference: Hashable, Sendable {
    /// `services.0.ports.1.port`; elements of lists go by their number.
    package var key: String
    /// The whole path, as a key of the environment may hold a dot.
    package var path: [String]
    /// Nil where there was none.
    package var old: JSONValue?
    /// Nil where there will be none.
    package var new: JSONValue?

    /// What changes from one config to another; what only says which run and release wrote a config is left out.
    package static func between(_ old: MachineConfig?, _ new: MachineConfig) -> [ConfigDifference] {
        var differences: [ConfigDifference] = []
        collect(old?.substance ?? [:], new.substance, [], &differences)
        return differences
    }

    private static func collect(
        _ old: JSONValue?, _ new: JSONValue?, _ path: [String], _ found: inout [ConfigDifference]
    ) {
        if old == new { return }
        switch (old, new) {
        case (.object(let before), .object(let after)):
            for key in Set(before.keys).union(after.keys).sorted() {
                collect(before[key], after[key], path + [key], &found)
            }
        case (.array(let before), .array(let after)):
            for index in 0..<max(before.count, after.count) {
                collect(
                    before.indices.contains(index) ? before[index] : nil,
                    after.indices.contains(index) ? after[index] : nil, path + [String(index)], &found)
            }
        case (nil, .object(let after)) where !after.isEmpty && path.count < 2:
            for key in after.keys.sorted() { collect(nil, after[key], path + [key], &found) }
        case (.object(let before), nil) where !before.isEmpty && path.count < 2:
            for key in before.keys.sorted() { collect(before[key], nil, path + [key], &found) }
        default:
            // An empty list and no list at all are one.
            guard !isEmpty(old) || !isEmpty(new) else { return }
            found.append(ConfigDifference(key: path.joined(separator: "."), path: path, old: old, new: new))
        }
    }

    private static func isEmpty(_ value: JSONValue?) -> Bool {
        switch value {
        case nil, .null?: true
        case .object(let members)?: members.isEmpty
        case .array(let elements)?: elements.isEmpty
        case .bool?, .integer?, .number?, .string?: false
        }
    }
}

/// Machines of one process group that change in the same way.
package struct GroupChange: Hashable, Sendable {
    package var group: ProcessGroup
    package var machines: [String]
    /// Whether the machines do not exist yet.
    package var isNew: Bool
    package var differences: [ConfigDifference]
}
