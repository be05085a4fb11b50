// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// What a value may look like. One description serves the decoder and the JSON Schema.
indirect enum Shape: Sendable {
    case text(TextRule)
    case boolean
    case integer(ClosedRange<Int>)
    /// A number above 0 and below 1.
    case fraction
    case number
    case duration(ClosedRange<Duration>)
    case choice([String])
    /// File permissions as octal digits.
    case octalMode
    case list(Shape, minimum: Int = 0)
    /// Keys that the user chooses.
    case map(Shape)
    case section(Section)
    /// The first one whose kind fits is meant.
    case either([Shape])
    /// Text, a number, true or false, compared as JSON values.
    case scalar
    /// Text, or a whole number or a truth value taken as text.
    case scalarText(TextRule)
    /// A duration in Go's notation, or a whole number of `unit`.
    case flyDuration(unit: Duration)
    /// Handed to the platform as it is.
    case anything
}

/// What a text may hold.
struct TextRule: Sendable {
    /// Whether `${NAME}` is replaced.
    var readsEnvironment = false
    /// Never shown in a message.
    var isSecret = false
    var form: Form = .any

    enum Form: Sendable {
        /// Anything but nothing.
        case any
        case possiblyEmpty
        case environmentName
        case httpPath
        case absolutePath
    }

    static let plain = TextRule()
    static let environment = TextRule(readsEnvironment: true)
    static let secret = TextRule(readsEnvironment: true, isSecret: true)
    static let path = TextRule(form: .httpPath)
    static let absolutePath = TextRule(form: .absolutePath)
}

/// One key of a section.
struct Key: Sendable {
    enum Standing: Sendable {
        case used
        /// Accepted, and known to change nothing that is deployed.
        case irrelevant
        /// Known, and refused because dropping it would change what is deployed; with what to do instead.
        case unsupported(String)
    }

    var name: String
    var shape: Shape
    var isRequired: Bool
    /// For people, in the JSON Schema.
    var description: String
    var standing: Standing

    init(
        _ name: String, _ shape: Shape, required: Bool = false, _ description: String = "",
        standing: Standing = .used
    ) {
        self.name = name
        self.shape = shape
        isRequired = required
        self.description = description
        self.standing = standing
    }

    static func irrelevant(_ name: String) -> Key { Key(name, .anything, standing: .irrelevant) }

    static func unsupported(_ name: String, _ advice: String) -> Key {
        Key(name, .anything, standing: .unsupported(advice))
    }
}

/// A set of keys.
struct Section: Sendable {
    /// How a message names it, such as `deploy` or `verify.health`.
    var name: String
    var keys: [Key]
    /// Whether exactly one of the keys must be there.
    var isChoice = false
    /// Sets of keys of which exactly one must be there, and be there whole; empty where there is nothing to choose.
    var alternatives: [[String]] = []

    init(_ name: String, isChoice: Bool = false, alternatives: [[String]] = [], _ keys: [Key]) {
        self.name = name
        self.keys = keys
        self.isChoice = isChoice
        self.alternatives = alternatives
    }

    subscript(name: String) -> Key? { keys.first { $0.name == name } }
}

extension Shape {
    /// What was expected, for a message: “expected …”.
    var expectation: String {
        switch self {
        case .text: "text"
        case .boolean: "true or false"
        case .integer: "a whole number"
        case .fraction: "a fraction between 0 and 1"
        case .number: "a number"
        case .duration: "a duration such as 90s or 5m"
        case .choice(let words): "one of " + words.joined(separator: ", ")
        case .octalMode: "permissions such as \"0755\""
        case .list(let element, _): "a list of " + element.plural
        case .map, .section: "a set of keys"
        case .either(let shapes): shapes.map(\.expectation).joined(separator: " or ")
        case .scalar: "text, a number, true or false"
        case .scalarText: "text"
        case .flyDuration: "a duration such as \"10s\""
        case .anything: "anything"
        }
    }

    private var plural: String {
        switch self {
        case .text, .scalarText: "texts"
        case .integer: "whole numbers"
        case .section, .map: "sets of keys"
        case .scalar: "values"
        case .boolean, .fraction, .number, .duration, .choice, .octalMode, .list, .either, .flyDuration, .anything:
            "values"
        }
    }

    /// Whether the node is of the kind the shape asks for, its value aside.
    func fits(_ node: DocumentNode) -> Bool {
        switch self {
        case .text, .choice, .duration: node.text != nil
        case .boolean: node.boolean != nil
        case .integer: node.integer != nil
        case .fraction: if case .number = node.content { true } else { false }
        case .number: if case .number = node.content { true } else { node.integer != nil }
        case .list: node.list != nil
        case .map, .section: node.entries != nil
        case .octalMode, .flyDuration: node.text != nil || node.integer != nil
        case .scalar, .scalarText: node.scalarText != nil
        case .either(let shapes): shapes.contains { $0.fits(node) }
        case .anything: !node.isNull
        }
    }
}
