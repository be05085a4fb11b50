// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import Model
internal import Rollouts
internal import Stages

/// Writes values as bytes from which everything is left out that can make no difference to what happens next.
///
/// Two situations with the same bytes are the same but for four things, and behave alike:
/// - **The clock.** Every instant is written as its distance from now; one that has passed is written as passed, for
///   the machines only ever ask whether it has. (Ages that they measure are written whole: `ages`. Which of two
///   instants that have passed was the earlier one, a rollout asks of its questions: `heardSinceAsked` is written.)
/// - **Action numbers.** Machines compare them, and nothing else; the situation numbers the open ones anew by what was
///   asked. A number that is not open any more will never be answered, so that all of them are one.
/// - **Nonces.** Compared, and nothing else; numbered in the order in which they are met.
/// - **Records for people**: when stages began and ended, when a release was made. They are copied into reports and
///   decide nothing (`unread` lists the properties by name, and those that never change).
///
/// A config is written as the operation, release and image it carries (images differ in every digit, so that one will
/// do): within one check, these determine the rest.
/// Everything else, private properties too, is written through the machines' own `Codable` conformance, so that a
/// property added to them later can't be forgotten here. Where the form tells apart what is alike (two identical
/// requests in another order), the search only visits more than it must.
final class CanonicalForm {
    @exclusivity(unchecked) private(set) var bytes: [UInt8] = []
    /// What every instant is written as a distance from.
    @exclusivity(unchecked) private(set) var now = Timestamp(milliseconds: 0)
    /// The new numbers of the open actions of the participant that is being written.
    @exclusivity(unchecked) var actions: [ActionID: Int] = [:]
    /// While requests are being sorted, for their nonces are not numbered yet.
    @exclusivity(unchecked) var masksNonces = false
    @exclusivity(unchecked) private var nonces: [LeaseNonce: Int] = [:]
    /// The nonces met in the block that is being written; nil outside of blocks.
    @exclusivity(unchecked) private var blockNonces: [LeaseNonce]?
    @exclusivity(unchecked) private var kinds: [ObjectIdentifier: Kind] = [:]

    private enum Kind {
        case plain, unordered
        case timestamp, action, nonce, config, machine, observation, plan, item, record, stage, preValidation
        /// The dictionaries that are written most often, without generics' toll.
        case views, changes, installed
        case rollout
    }

    /// Properties that machines keep for reports alone, and those that never change in a check: what they were begun
    /// with, and how many checks a machine has.
    private let unread = Set(
        [
            "nextAction", "startedAt", "finishedAt", "createdAt", "verifiedAt", "troubleSince", "firstFailureAt",
            "items", "groupSizes", "members", "limits", "request", "report", "commit", "image",
            // Written as `heardSinceAsked`.
            "askedAt", "heardAt",
            // Looked up by an action's number alone.
            "acquisitions",
        ].map(CanonicalForm.number(of:)))
    /// Instants whose age is measured, in milliseconds up to which it makes a difference.
    private let ages: [UInt32: Int64] = [
        CanonicalForm.number(of: "blockedSince"): CanonicalForm.never,
        CanonicalForm.number(of: "firstTrouble"): AppClaim.patience.wholeMilliseconds,
        CanonicalForm.number(of: "lookedAt"): Deploy.maxLookAge.wholeMilliseconds + 1,
    ]

    /// A property's name as a number (FNV-1a): there are a few hundred names, and the number has 32 bits.
    private static func number(of name: String) -> UInt32 {
        var hash: UInt32 = 0x811C_9DC5
        for byte in name.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return hash
    }

    /// Ten years in milliseconds: an end that no lease and no deadline has.
    private static let never: Int64 = 315_576_000_000

    /// The bytes by which something is brought into order among its like: nonces get no numbers yet.
    func order(_ body: () -> Void) -> [UInt8] {
        let wasMasked = masksNonces
        masksNonces = true
        defer { masksNonces = wasMasked }
        return separately(body)
    }

    func begin(at time: Timestamp) {
        bytes.removeAll(keepingCapacity: true)
        nonces.removeAll(keepingCapacity: true)
        actions.removeAll(keepingCapacity: true)
        now = time
    }

    /// The bytes that `body` writes, taken away again.
    func separately(_ body: () -> Void) -> [UInt8] {
        let start = bytes.count
        body()
        defer { bytes.removeSubrange(start...) }
        return Array(bytes[start...])
    }

    /// Something written for itself: its nonces are numbered by their order in it, so that it can be written again
    /// wherever those who share them have other numbers by then.
    struct Block: Sendable {
        fileprivate var bytes: [UInt8]
        fileprivate var nonces: [LeaseNonce]
    }

    /// What `body` writes, taken away again, as a block; blocks hold no blocks.
    func block(_ body: () -> Void) -> Block {
        let start = bytes.count
        blockNonces = []
        body()
        defer {
            bytes.removeSubrange(start...)
            blockNonces = nil
        }
        return Block(bytes: Array(bytes[start...]), nonces: blockNonces ?? [])
    }

    /// Writes a block, and after it what the numbers in it stand for.
    func write(_ block: Block) {
        bytes.append(contentsOf: block.bytes)
        write(block.nonces.count)
        for nonce in block.nonces { write(nonce) }
    }

    // MARK: - Small things

    func write(_ number: Int) {
        var rest = UInt64(bitPattern: Int64(number))
        // Zigzag, so that small negative numbers are short too.
        rest = (rest << 1) ^ (number < 0 ? UInt64.max : 0)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    func write(_ text: String) {
        write(text.utf8.count)
        bytes.append(contentsOf: text.utf8)
    }

    func write(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

    func write(_ raw: [UInt8]) { bytes.append(contentsOf: raw) }

    /// - Parameter oldest: the age up to which it makes a difference when the instant was, in milliseconds.
    func write(_ time: Timestamp, oldest: Int64 = 0) {
        let distance = time.milliseconds - now.milliseconds
        // What never comes is equally far from every instant.
        if distance > CanonicalForm.never { return write(-1) }
        write(Int(max(-oldest, distance)))
    }

    func write(_ nonce: LeaseNonce) {
        if masksNonces { return write(0) }
        if let met = blockNonces {
            let place = met.firstIndex(of: nonce) ?? met.count
            if place == met.count { blockNonces?.append(nonce) }
            return write(place + 1)
        }
        let number = nonces[nonce] ?? nonces.count + 1
        nonces[nonce] = number
        write(number)
    }

    /// An order of two values whose canonical forms are alike.
    func precedes(_ left: some Encodable, _ right: some Encodable) -> Bool {
        switch (left, right) {
        case (let left as ActionID, let right as ActionID): left < right
        case (let left as LeaseNonce, let right as LeaseNonce): left.rawValue < right.rawValue
        default: false
        }
    }

    /// Whether the nonce has been written, so that somebody may still use it.
    func knows(_ nonce: LeaseNonce) -> Bool { nonces[nonce] != nil }

    func write(_ machine: FleetMachine) {
        write(machine.id.rawValue)
        write(machine.instance.rawValue)
        write(machine.state)
        write(machine.checks.count { $0.status == "passing" })
        write(machine.events.count)
    }

    private func write(_ config: MachineConfig) {
        write(config.metadata(Bookkeeping.operation) ?? "")
        write(config.metadata("fly_release_version") ?? "")
        bytes.append(config.image?.utf8.last ?? 0)
    }

    private func write(_ observation: Observation) {
        write(observation.id.rawValue)
        write(observation.instance.rawValue)
        write(observation.state)
        write(observation.operation.rawValue)
        write(observation.checksPassing)
        write(observation.checksReported)
        write(observation.exit != nil)
    }

    /// Once it has passed, only what it learned is read.
    private func write(_ stage: PreValidation) {
        guard case .passed = stage.state else { return encodePlainly(stage) }
        write(stage.facts.fleet.count)
        for machine in stage.facts.fleet { write(machine) }
        write(stage.facts.wayBack?.number.value ?? -1)
        write(stage.facts.history?.current?.number.value ?? -1)
        write(stage.facts.platformReleases.count)
        for release in stage.facts.platformReleases {
            write(release.number.value)
            write(release.status)
        }
    }

    private func write(_ rollout: RollingRollout) {
        let questions = rollout.heardSinceAsked.compactMap { question in
            actions[question.action].map { (number: $0, wasEarlier: question.askedAt < now, heard: question.heard) }
        }
        write(questions.count)
        for question in questions.sorted(by: { $0.number < $1.number }) {
            write(question.number)
            write(question.wasEarlier)
            write(question.heard.count)
            for machine in question.heard { write(machine.rawValue) }
        }
        encodePlainly(rollout)
    }

    private func write(_ record: ReleaseRecord) {
        write(record.number.value)
        write(record.digest.rawValue)
        write(record.state.rawValue)
        write(record.run.rawValue)
        write(record.machines.count)
        for machine in record.machines {
            write(machine.id.rawValue)
            write(machine.config)
        }
    }

    // MARK: - Anything

    /// Writes any value. The machines' conformances throw nothing of their own, and neither do the containers below.
    func write<Value: Encodable>(_ value: Value, oldest: Int64 = 0) {
        switch kind(of: Value.self) {
        case .plain: encodePlainly(value)
        case .unordered: (value as? any Unordered)?.writeSorted(to: self)
        case .timestamp: if let time = value as? Timestamp { write(time, oldest: oldest) }
        case .action: if let action = value as? ActionID { write(actions[action] ?? -1) }
        case .nonce: if let nonce = value as? LeaseNonce { write(nonce) }
        case .config: if let config = value as? MachineConfig { write(config) }
        case .machine: if let machine = value as? FleetMachine { write(machine) }
        case .observation: if let observation = value as? Observation { write(observation) }
        case .plan: if let plan = value as? MachineChange.Plan { write(plan.operation.rawValue) }
        case .item: if let item = value as? RolloutItem { write(item.change.operation.rawValue) }
        case .record: if let record = value as? ReleaseRecord { write(record) }
        case .stage: if let report = value as? StageReport { write(report.state.rawValue) }
        case .preValidation: if let stage = value as? PreValidation { write(stage) }
        case .views:
            writeSorted(value as? [MachineID: Observation] ?? [:], by: \.rawValue) { write($0) }
        case .changes: writeSorted(value as? [String: MachineChange] ?? [:], by: \.self) { encodePlainly($0) }
        case .installed:
            writeSorted(value as? [MachineID: FleetMachine] ?? [:], by: \.rawValue) { write($0) }
        case .rollout: if let rollout = value as? RollingRollout { write(rollout) }
        }
    }

    @inline(__always)
    private func writeSorted<Key, Value>(
        _ dictionary: [Key: Value], by text: (Key) -> String, _ write: (Value) -> Void
    ) {
        self.write(dictionary.count)
        for (key, value) in dictionary.sorted(by: { text($0.key) < text($1.key) }) {
            self.write(text(key))
            write(value)
        }
    }

    private func encodePlainly(_ value: some Encodable) {
        do {
            try value.encode(to: CanonicalEncoder(form: self))
        } catch {
            preconditionFailure("a machine's state can't be written: \(error)")
        }
    }

    private func kind(of type: any Any.Type) -> Kind {
        let name = ObjectIdentifier(type)
        if let known = kinds[name] { return known }
        let kind: Kind =
            switch type {
            case is Timestamp.Type: .timestamp
            case is ActionID.Type: .action
            case is LeaseNonce.Type: .nonce
            case is MachineConfig.Type: .config
            case is FleetMachine.Type: .machine
            case is Observation.Type: .observation
            case is MachineChange.Plan.Type: .plan
            case is RolloutItem.Type: .item
            case is ReleaseRecord.Type: .record
            case is StageReport.Type: .stage
            case is PreValidation.Type: .preValidation
            case is [MachineID: Observation].Type: .views
            case is [String: MachineChange].Type: .changes
            case is [MachineID: FleetMachine].Type: .installed
            case is RollingRollout.Type: .rollout
            case is any Unordered.Type: .unordered
            default: .plain
            }
        kinds[name] = kind
        return kind
    }

    /// Writes a property's name, unless its value makes no difference.
    fileprivate func open(_ name: String) -> (isWanted: Bool, oldest: Int64) {
        let number = CanonicalForm.number(of: name)
        if unread.contains(number) { return (false, 0) }
        for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
        return (true, ages[number] ?? 0)
    }
}

/// A collection whose order means nothing.
private protocol Unordered {
    func writeSorted(to form: CanonicalForm)
}

extension Dictionary: Unordered where Key: Encodable, Value: Encodable {
    fileprivate func writeSorted(to form: CanonicalForm) {
        form.write(count)
        guard count > 1 else {
            for (key, value) in self {
                form.write(key)
                form.write(value)
            }
            return
        }
        var entries = indices.map { index in (text: form.order { form.write(self[index].key) }, index: index) }
        entries.sort { $0.text.lexicographicallyPrecedes($1.text) }
        // Actions that are not open any more are all alike: then what they were for decides.
        if zip(entries, entries.dropFirst()).contains(where: { $0.text == $1.text }) {
            entries = entries.map { entry in
                (entry.text + form.order { form.write(self[entry.index].value) }, entry.index)
            }
            entries.sort { left, right in
                // Where even that is alike, the numbers do; nothing here may hang on the order of a dictionary, which
                // is another one in every process.
                if left.text == right.text { return form.precedes(self[left.index].key, self[right.index].key) }
                return left.text.lexicographicallyPrecedes(right.text)
            }
        }
        for entry in entries {
            form.write(self[entry.index].key)
            form.write(self[entry.index].value)
        }
    }
}

extension Set: Unordered where Element: Encodable {
    fileprivate func writeSorted(to form: CanonicalForm) {
        form.write(count)
        let elements = map { element in (text: form.order { form.write(element) }, element: element) }
        let sorted = elements.sorted { left, right in
            if left.text == right.text { return form.precedes(left.element, right.element) }
            return left.text.lexicographicallyPrecedes(right.text)
        }
        for entry in sorted { form.write(entry.element) }
    }
}

// MARK: - Codable's side

private struct CanonicalEncoder: Encoder {
    let form: CanonicalForm
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        form.write(2)
        return KeyedEncodingContainer(KeyedForm<Key>(form: form))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        form.write(3)
        return UnkeyedForm(form: form)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { SingleForm(form: form) }
}

private struct KeyedForm<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let form: CanonicalForm
    var codingPath: [any CodingKey] { [] }

    mutating func encodeNil(forKey key: Key) { _ = form.open(key.stringValue) }
    mutating func encode(_ value: Bool, forKey key: Key) {
        if form.open(key.stringValue).isWanted { form.write(value) }
    }
    mutating func encode(_ value: Int, forKey key: Key) { if form.open(key.stringValue).isWanted { form.write(value) } }
    mutating func encode(_ value: String, forKey key: Key) {
        if form.open(key.stringValue).isWanted { form.write(value) }
    }

    mutating func encode<Value: Encodable>(_ value: Value, forKey key: Key) {
        let (isWanted, oldest) = form.open(key.stringValue)
        if isWanted { form.write(value, oldest: oldest) }
    }

    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        _ = form.open(key.stringValue)
        return KeyedEncodingContainer(KeyedForm<Nested>(form: form))
    }

    mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        _ = form.open(key.stringValue)
        return UnkeyedForm(form: form)
    }

    mutating func superEncoder() -> any Encoder { CanonicalEncoder(form: form) }
    mutating func superEncoder(forKey key: Key) -> any Encoder {
        _ = form.open(key.stringValue)
        return CanonicalEncoder(form: form)
    }
}

private struct UnkeyedForm: UnkeyedEncodingContainer {
    let form: CanonicalForm
    var count = 0
    var codingPath: [any CodingKey] { [] }

    init(form: CanonicalForm) { self.form = form }

    /// Each element says that it is one, so that a list can't be read as a longer one.
    private mutating func next() {
        count += 1
        form.write(1)
    }

    mutating func encodeNil() { next() }
    mutating func encode(_ value: Bool) {
        next()
        form.write(value)
    }
    mutating func encode(_ value: Int) {
        next()
        form.write(value)
    }
    mutating func encode(_ value: String) {
        next()
        form.write(value)
    }
    mutating func encode<Value: Encodable>(_ value: Value) {
        next()
        form.write(value)
    }

    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        next()
        return KeyedEncodingContainer(KeyedForm<Nested>(form: form))
    }

    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        next()
        return UnkeyedForm(form: form)
    }

    mutating func superEncoder() -> any Encoder {
        next()
        return CanonicalEncoder(form: form)
    }
}

private struct SingleForm: SingleValueEncodingContainer {
    let form: CanonicalForm
    var codingPath: [any CodingKey] { [] }

    mutating func encodeNil() { form.write(0) }
    mutating func encode(_ value: Bool) { form.write(value) }
    mutating func encode(_ value: Int) { form.write(value) }
    mutating func encode(_ value: String) { form.write(value) }
    mutating func encode(_ value: Double) { form.write(Int(bitPattern: UInt(value.bitPattern))) }
    mutating func encode(_ value: Float) { form.write(Int(value.bitPattern)) }
    mutating func encode(_ value: Int8) { form.write(Int(value)) }
    mutating func encode(_ value: Int16) { form.write(Int(value)) }
    mutating func encode(_ value: Int32) { form.write(Int(value)) }
    mutating func encode(_ value: Int64) { form.write(Int(value)) }
    mutating func encode(_ value: UInt) { form.write(Int(bitPattern: value)) }
    mutating func encode(_ value: UInt8) { form.write(Int(value)) }
    mutating func encode(_ value: UInt16) { form.write(Int(value)) }
    mutating func encode(_ value: UInt32) { form.write(Int(value)) }
    mutating func encode(_ value: UInt64) { form.write(Int(truncatingIfNeeded: value)) }
    mutating func encode<Value: Encodable>(_ value: Value) { form.write(value) }
}
