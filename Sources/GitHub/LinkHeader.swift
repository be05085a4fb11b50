// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The `Link` field by which GitHub's lists name their next page. Source: RFC 8288, section 3.
enum LinkHeader {
    /// The target with the relation `next`; nil where there is none.
    static func next(in values: [String]) -> String? {
        for value in values {
            var rest = value[...]
            while let start = rest.firstIndex(of: "<"), let end = rest[start...].firstIndex(of: ">") {
                let target = rest[rest.index(after: start)..<end]
                rest = rest[rest.index(after: end)...]
                // A target may hold commas; what comes before the next target is this one's.
                let parameters = rest.prefix { $0 != "<" }
                if isNext(parameters) { return String(target) }
                rest = rest[parameters.endIndex...]
            }
        }
        return nil
    }

    private static func isNext(_ parameters: Substring) -> Bool {
        parameters.lowercased().split(whereSeparator: { $0 == ";" || $0 == "," }).contains { parameter in
            let parts = parameter.split(separator: "=", maxSplits: 1).map {
                $0.filter { !" \"".contains($0) || $0 == " " }
            }
            guard parts.count == 2, parts[0].filter({ $0 != " " }) == "rel" else { return false }
            return parts[1].split(separator: " ").contains("next")
        }
    }
}
