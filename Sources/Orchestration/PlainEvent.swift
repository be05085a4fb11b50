// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import FoundationEssentials
internal import Glibc
package import Model

/// Reads the events that make up nearly all of a long journal, in the very form in which they are written and in no
/// other: members in the order of their names, no spaces, no escapes, nothing but ASCII.
///
/// `JSONDecoder` takes ten times as long and more. Whatever differs from that form by a single byte, by a member more
/// or less, gets nil here, and `JSONDecoder` says what it is; what is answered here is what `JSONDecoder` would answer.
package struct PlainEvent {
    private let text: UnsafeRawBufferPointer
    private var position = 0

    /// The event that a journal's entry holds; nil where it is another event, or in another form.
    package static func read(_ payload: Data) -> RunEvent? {
        payload.withUnsafeBytes { text in
            var reader = PlainEvent(text)
            guard let event = reader.event(), reader.position == text.count else { return nil }
            return event
        }
    }

    private init(_ text: UnsafeRawBufferPointer) {
        self.text = text
    }

    // MARK: Events

    private mutating func event() -> RunEvent? {
        guard take("{\"at\":"), let at = time(), take(",\"kind\":{\"answered\":{\"action\":"), let action = integer(),
            take(",\"answer\":{"), let answer = answer(), take("}}}}")
        else { return nil }
        return RunEvent(at: at, kind: .answered(action: ActionID(action), answer: answer))
    }

    private mutating func answer() -> Answer? {
        if take("\"woke\":{}") { return .woke }
        if take("\"observations\":{\"list\":") {
            guard let list = observations(), take("}") else { return nil }
            return .observations(list: list)
        }
        if take("\"probe\":{\"result\":") {
            guard let result = probe(), take("}") else { return nil }
            return .probe(result: result)
        }
        if take("\"lease\":{\"lease\":{\"expiresAt\":") {
            guard let expires = time(), take(",\"nonce\":"), let nonce = string(), take("}}") else { return nil }
            return .lease(lease: Lease(nonce: LeaseNonce(nonce), expiresAt: expires))
        }
        if take("\"done\":{}") { return .done }
        if take("\"waitTimedOut\":{}") { return .waitTimedOut }
        return nil
    }

    private mutating func observations() -> [Observation]? {
        guard take("[") else { return nil }
        var list: [Observation] = []
        if take("]") { return list }
        repeat {
            guard let next = observation() else { return nil }
            list.append(next)
        } while take(",")
        return take("]") ? list : nil
    }

    private mutating func observation() -> Observation? {
        guard take("{\"checksPassing\":"), let passing = integer(), take(",\"checksReported\":"),
            let reported = integer()
        else { return nil }
        var exit: Observation.Exit?
        if take(",\"exit\":{\"at\":") {
            guard let at = time(), take(",\"code\":"), let code = integer(), take(",\"isOutOfMemory\":"),
                let isOutOfMemory = boolean(), take("}")
            else { return nil }
            exit = Observation.Exit(code: code, isOutOfMemory: isOutOfMemory, at: at)
        }
        guard take(",\"failingCheck\":"), let failing = string(), take(",\"id\":"), let id = string(),
            take(",\"instance\":"), let instance = string(), take(",\"isCordoned\":"), let isCordoned = boolean(),
            take(",\"isHostReachable\":"), let isHostReachable = boolean(), take(",\"operation\":"),
            let operation = string(), take(",\"restarts\":"), let restarts = integer(), take(",\"state\":"),
            let state = string(), take("}")
        else { return nil }
        return Observation(
            id: MachineID(id), state: state, instance: InstanceID(instance), operation: OperationID(operation),
            checksPassing: passing, checksReported: reported, failingCheck: failing, isCordoned: isCordoned,
            isHostReachable: isHostReachable, exit: exit, restarts: restarts)
    }

    private mutating func probe() -> ProbeResult? {
        guard take("{\"elapsed\":"), let elapsed = duration(), take(",\"failure\":"), let failure = string(),
            take(",\"fields\":{"), let fields = fields(), take(",\"isUnresolvable\":"),
            let isUnresolvable = boolean()
        else { return nil }
        var status: Int?
        if take(",\"status\":") {
            status = integer()
            if status == nil { return nil }
        }
        guard take("}") else { return nil }
        return ProbeResult(
            status: status, elapsed: elapsed, fields: fields, failure: failure, isUnresolvable: isUnresolvable)
    }

    /// The members of an object of texts, behind its opening brace.
    private mutating func fields() -> [String: String]? {
        var fields: [String: String] = [:]
        if take("}") { return fields }
        repeat {
            // Of a name that is there twice `JSONDecoder` knows which counts.
            guard let name = string(), take(":"), let value = string(), fields.updateValue(value, forKey: name) == nil
            else { return nil }
        } while take(",")
        return take("}") ? fields : nil
    }

    // MARK: Values

    private mutating func take(_ expected: StaticString) -> Bool {
        let length = expected.utf8CodeUnitCount
        guard length <= text.count - position, let start = text.baseAddress,
            memcmp(start + position, expected.utf8Start, length) == 0
        else { return false }
        position += length
        return true
    }

    private mutating func boolean() -> Bool? {
        if take("true") { return true }
        return take("false") ? false : nil
    }

    /// Digits that surely fit, as a number is written: no zero before others, no fraction, no exponent.
    private mutating func digits(_ maximum: Int) -> UInt64? {
        let start = position
        var value: UInt64 = 0
        while position < text.count, case let digit = text[position] &- UInt8(ascii: "0"), digit < 10 {
            value = value &* 10 &+ UInt64(digit)
            position += 1
            if position - start > maximum { return nil }
        }
        guard position > start, position - start == 1 || text[start] != UInt8(ascii: "0") else { return nil }
        return value
    }

    private mutating func integer() -> Int? {
        let isNegative = take("-")
        // "-0" is left to the decoder.
        guard let value = digits(18), !(isNegative && value == 0) else { return nil }
        return isNegative ? -Int(value) : Int(value)
    }

    /// A duration of less than ten seconds: its attoseconds, in two halves of 64 bits.
    private mutating func duration() -> Duration? {
        guard take("[0,"), let attoseconds = digits(19), take("]") else { return nil }
        return Duration(attoseconds: Int128(attoseconds))
    }

    private mutating func time() -> Timestamp? {
        guard let characters = characters() else { return nil }
        return Timestamp(utf8: characters)
    }

    private mutating func string() -> String? {
        guard let characters = characters() else { return nil }
        return String(decoding: characters, as: UTF8.self)
    }

    /// What stands between two quotation marks; nil where anything in it needs more than to be copied.
    private mutating func characters() -> UnsafeRawBufferPointer? {
        guard position < text.count, text[position] == UInt8(ascii: "\"") else { return nil }
        let start = position + 1
        var end = start
        while end < text.count {
            let byte = text[end]
            if byte == UInt8(ascii: "\"") {
                position = end + 1
                return UnsafeRawBufferPointer(rebasing: text[start..<end])
            }
            guard byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\\") else { return nil }
            end += 1
        }
        return nil
    }
}
