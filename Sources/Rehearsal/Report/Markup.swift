// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Text that stands in a page: already escaped, so that what a file or an answer said can't become markup.
struct Markup: ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    private(set) var text: String

    init(stringLiteral value: String) { text = value }
    init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }

    private init(_ text: String) { self.text = text }

    /// Literal parts are markup, values are escaped.
    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate(set) var text = ""

        init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

        mutating func appendLiteral(_ literal: String) { text += literal }
        mutating func appendInterpolation(_ markup: Markup) { text += markup.text }
        mutating func appendInterpolation(_ value: some StringProtocol) { text += Markup.escape(value) }
        mutating func appendInterpolation(_ value: some BinaryInteger) { text += "\(value)" }
    }

    static func + (left: Markup, right: Markup) -> Markup { Markup(left.text + right.text) }
    static func += (left: inout Markup, right: Markup) { left.text += right.text }

    static func join(_ parts: some Sequence<Markup>) -> Markup { Markup(parts.map(\.text).joined()) }

    /// `<th>` or `<td>` cells of one row; all but the first hold numbers.
    static func row(_ cells: [Markup], tag: Markup = "td") -> Markup {
        let inner = cells.enumerated().map { index, cell -> Markup in
            index == 0 ? "<\(tag)>\(cell)</\(tag)>" : "<\(tag) class=\"number\">\(cell)</\(tag)>"
        }
        return "<tr>\(join(inner))</tr>\n"
    }

    private static func escape(_ value: some StringProtocol) -> String {
        var result = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            // No page may hold these, not even escaped.
            case _ where scalar.properties.generalCategory == .control && scalar != "\n": result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
