// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// What an answer must be to count as healthy.
package struct HealthCriteria: Hashable, Codable, Sendable {
    /// HTTP statuses that are good.
    package var statuses: [Int]
    /// Values that fields of a JSON body must have; any of the listed ones is good.
    package var body: [String: [String]]
    /// The longest time to the whole answer.
    package var within: Duration?

    package init(statuses: [Int] = [200], body: [String: [String]] = [:], within: Duration? = nil) {
        self.statuses = statuses
        self.body = body
        self.within = within
    }

    /// Why an answer is not healthy, or nil where it is.
    package func fault(in result: ProbeResult) -> String? {
        guard let status = result.status else {
            return result.failure.isEmpty ? "no answer" : result.failure
        }
        guard statuses.contains(status) else {
            return "answered \(status), expected \(statuses.map(String.init).joined(separator: " or "))"
        }
        for (field, allowed) in body.sorted(by: { $0.key < $1.key }) {
            guard let value = result.fields[field] else {
                return "the body has no “\(field)”, expected \(allowed.joined(separator: " or "))"
            }
            guard allowed.contains(value) else {
                return "“\(field)” is “\(value)”, expected \(allowed.joined(separator: " or "))"
            }
        }
        if let within, result.elapsed > within {
            return "answered in \(result.elapsed.wholeMilliseconds) ms, allowed are \(within.wholeMilliseconds) ms"
        }
        return nil
    }
}

/// A URL with what it must answer.
package struct HealthProbe: Hashable, Codable, Sendable {
    /// What people call it: a path, or a pipeline's name.
    package var name: String
    package var url: String
    package var timeout: Duration
    package var criteria: HealthCriteria

    package init(name: String, url: String, timeout: Duration, criteria: HealthCriteria) {
        self.name = name
        self.url = url
        self.timeout = timeout
        self.criteria = criteria
    }

    /// The request that answers the question.
    package var probe: Probe {
        Probe(url: url, timeout: timeout, bodyFields: criteria.body.keys.sorted())
    }
}
