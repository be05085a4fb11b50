// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyWorld
internal import Model
internal import Stages

/// The way of calls to the platform and back.
extension Engine {
    /// How often the client sends a call that it may repeat, and one that the platform put off (429).
    static let maxAttempts = 5
    /// How long the client pauses before it repeats a call.
    static let repeatPauseMilliseconds = 250

    private func latency(_ call: Int, _ way: Int) -> Duration {
        .milliseconds(
            SeededDraws.number(plan.fastestCall...max(plan.fastestCall, plan.slowestCall), seed: plan.seed, call, way))
    }

    mutating func send(_ call: PlatformCall, _ action: ActionID, _ index: Int, killsWhenApplied: Bool) {
        let number = calls.count
        let ordinal = processes[index].calls
        processes[index].calls += 1
        var open = OpenCall(
            process: index, action: action, call: call, sentAt: now, knownAt: processes[index].knownAt)
        open.killsWhenApplied = killsWhenApplied
        if !processes[index].atCall.isEmpty {
            open.fault = processes[index].atCall.first { $0.call == ordinal }?.fault
        }
        if let rate = call.kind.rate {
            let key = CallKey(kind: call.kind, machine: call.target)
            open.sentAt = processes[index].limits[key, default: CallPace()].leave(at: now, rate: rate)
        }
        processes[index].openCalls[action] = number
        calls.append(open)
        checker.sends(call, action, knownAt: processes[index].knownAt, processes[index].who, world)
        tell(.call, index) { "-> \($0.describe(call))\($0.faultText(open.fault))" }
        depart(number)
    }

    /// The call leaves, and its fault decides what becomes of it.
    private mutating func depart(_ number: Int) {
        let open = calls[number]
        apiCalls += 1
        let arrival = open.sentAt + latency(number, open.attempt)
        guard let fault = open.fault, open.attempt == 1 else {
            schedule(.arrive(call: number), at: arrival)
            return
        }
        let ambiguous = Failure(.unavailable, "no answer came", isAmbiguous: open.call.isMutation)
        switch fault {
        case .lostBefore(let noticed, let isGivenUp):
            note(.lostAnswers) { "\($0.describe(open.call)): lost on its way" }
            leave(number, noticed, isGivenUp, ambiguous)
        case .lostAfter(let noticed, let isGivenUp):
            note(.lostAnswers) { "\($0.describe(open.call)): done, the answer lost" }
            schedule(.arrive(call: number), at: arrival)
            leave(number, max(noticed, plan.slowestCall * 2 + 1), isGivenUp, ambiguous)
        case .late(let noticed, let arrives):
            note(.lostAnswers) { "\($0.describe(open.call)): arrives after \(arrives) ms" }
            schedule(.arrive(call: number), at: open.sentAt + .milliseconds(arrives))
            leave(number, noticed, false, ambiguous)
        case .duplicated(let after, _):
            note(.lostAnswers) { "\($0.describe(open.call)): arrives twice" }
            schedule(.arrive(call: number), at: arrival)
            schedule(.arrive(call: number), at: arrival + .milliseconds(after))
        case .serverError, .serverErrorAfter, .malformed, .slow, .capacity, .rateLimited, .stale:
            schedule(.arrive(call: number), at: arrival)
        }
    }

    /// The client hears nothing: it repeats what it may repeat, and gives up the rest.
    private mutating func leave(_ number: Int, _ noticed: Int, _ isGivenUp: Bool, _ failure: Failure) {
        let time = calls[number].sentAt + .milliseconds(noticed)
        if calls[number].call.isRepeatedByClient, !isGivenUp {
            repeatCall(number, at: time + .milliseconds(Engine.repeatPauseMilliseconds))
        } else {
            schedule(.giveUp(call: number, failure: failure), at: time)
        }
    }

    private mutating func repeatCall(_ number: Int, at time: Timestamp) {
        calls[number].attempt += 1
        calls[number].mayHaveHappened = true
        // The first attempt may still arrive; its answer finds nobody, for the repeated one has the same number.
        let again = calls.count
        var open = calls[number]
        open.sentAt = time
        open.fault = nil
        calls.append(open)
        processes[open.process].openCalls[open.action] = again
        calls[number].isAwaited = false
        apiCalls += 1
        schedule(.arrive(call: again), at: time + latency(again, 1))
    }

    mutating func giveUp(_ number: Int, _ failure: Failure) {
        guard calls[number].isAwaited else { return }
        calls[number].isAwaited = false
        let open = calls[number]
        apply(.callerLeft(UInt64(number)))
        answer(.failed(failure: failure), open)
    }

    /// The answer reaches the process.
    private mutating func answer(_ answer: Answer, _ open: OpenCall) {
        tell(.call, open.process) { "<- \($0.describe(open.call)): \($0.describe(answer))" }
        deliver(.answered(action: open.action, answer: answer), to: open.process)
    }

    // MARK: - At the platform

    /// Whether a call that waited in its client never left, because its process died before.
    private func neverLeft(_ open: OpenCall) -> Bool {
        let process = processes[open.process]
        guard case .killed = process.life, let death = process.endedAt else { return false }
        return open.sentAt > death
    }

    mutating func arrive(_ number: Int) {
        let open = calls[number]
        guard !neverLeft(open) else { return }
        if case .wait = open.call, !open.isAwaited { return }
        if processes[open.process].isRevoked {
            respond(number, .failed(failure: Failure(.unauthorized, "the token is not accepted")))
            return
        }
        let time = now.milliseconds
        if !outages.isEmpty, outages.contains(where: { $0.contains(time) }) {
            refuse(number, WorldFailure(503, "the platform is down"))
            return
        }
        switch open.fault {
        case .serverError:
            note(.apiErrors) { "\($0.describe(open.call)): answered 503" }
            refuse(number, WorldFailure(503, "upstream unavailable"))
            return
        case .capacity where isPlacing(open.call):
            note(.capacity) { "\($0.describe(open.call)): no room" }
            refuse(
                number, WorldFailure(422, "insufficient resources to create new machine", code: "insufficient_capacity")
            )
            return
        case .rateLimited(let seconds) where open.attempt == 1:
            putOff(number, WorldFailure(429, "rate limit exceeded", retryAfterSeconds: seconds))
            return
        case .lostBefore, .lostAfter, .late, .duplicated, .serverErrorAfter, .malformed, .slow, .capacity,
            .rateLimited, .stale, nil:
            break
        }
        let request = PlatformTranslation.request(
            open.call, id: UInt64(number), app: scenario.app,
            caller: WorldCaller(name: processes[open.process].name),
            note: "airboss \(processes[open.process].machine.request.kind.rawValue) \(processes[open.process].run)",
            digest: { pullable($0) })
        let outcome = world.handle(request, at: now)
        // Before its consequences, so that a story has them in their order.
        let answer = outcome.response?.answer
        if case .failure(let failure) = answer, failure.status == 429 {
            putOff(number, failure)
            return
        }
        let isSecond = open.doneAt != nil
        // What its sender hears of is the answer that goes back.
        if !isSecond || open.isSecondAnswered { calls[number].doneAt = now }
        if !isUnheard(open, isSecond: isSecond) {
            checker.applied(
                open.call, sentAt: open.sentAt, knownAt: open.knownAt, processes[open.process].who, answer, world)
        }
        if keepsLists, open.call.isMutation { rememberList() }
        for effect in outcome.effects { perform(effect) }
        if open.killsWhenApplied {
            calls[number].killsWhenApplied = false
            if processes[open.process].isRunning {
                kill(open.process, KillPoint.afterApplied.rawValue + ": " + describe(open.call))
            }
        }
        if let answer { give(answer, of: number) }
    }

    /// Whether a release record is opened that nobody is ever told of, and that was not there yet when its run looked:
    /// a doubled call opens two, and one that comes late opens one when it was given up.
    private func isUnheard(_ open: OpenCall, isSecond: Bool) -> Bool {
        guard case .createRelease = open.call else { return false }
        switch open.fault {
        case .duplicated: return isSecond != open.isSecondAnswered
        case .late: return !open.isAwaited
        case .lostBefore, .lostAfter, .serverError, .serverErrorAfter, .malformed, .slow, .capacity, .rateLimited,
            .stale, nil:
            return false
        }
    }

    private func isPlacing(_ call: PlatformCall) -> Bool {
        switch call {
        case .create, .update: true
        case .app, .machines, .observe, .machine, .acquireLease, .refreshLease, .releaseLease, .wait, .destroy,
            .versions, .lease, .metadata, .setMetadata, .removeMetadata, .cordon, .uncordon, .secretNames,
            .createRelease, .finishRelease, .releases:
            false
        }
    }

    /// The platform's limit: the client waits as it is told, and sends again.
    private mutating func putOff(_ number: Int, _ failure: WorldFailure) {
        note(.rateLimits) { "\($0.describe($0.calls[number].call)): answered 429" }
        guard calls[number].isAwaited else { return }
        guard calls[number].attempt < Engine.maxAttempts else {
            respond(number, .failed(failure: PlatformTranslation.failure(failure, calls[number].call)))
            return
        }
        calls[number].attempt += 1
        let time = now + .seconds(failure.retryAfterSeconds ?? 1)
        calls[number].sentAt = time
        schedule(.arrive(call: number), at: time + latency(number, calls[number].attempt))
    }

    /// An error that comes back; a transient one is repeated where that does no harm.
    private mutating func refuse(_ number: Int, _ failure: WorldFailure) {
        let open = calls[number]
        let isGivenUp: Bool =
            switch open.fault {
            case .serverError(let isGivenUp), .serverErrorAfter(let isGivenUp): isGivenUp
            case .lostBefore, .lostAfter, .late, .duplicated, .malformed, .slow, .capacity, .rateLimited, .stale, nil:
                false
            }
        if failure.status >= 500, open.isAwaited, open.call.isRepeatedByClient, !isGivenUp,
            open.attempt < Engine.maxAttempts
        {
            let pause = Engine.repeatPauseMilliseconds << min(open.attempt - 1, 5)
            repeatCall(number, at: now + latency(number, 20) + .milliseconds(pause))
            return
        }
        respond(number, PlatformTranslation.answer(.failure(failure), to: open.call, sentAt: open.sentAt))
    }

    /// What the platform said goes back, if its way back is free.
    mutating func give(_ worldAnswer: WorldAnswer, of number: Int) {
        let open = calls[number]
        switch open.fault {
        case .lostBefore where open.attempt == 1, .lostAfter where open.attempt == 1, .late where open.attempt == 1:
            return  // its sender hears nothing, or gave it up
        case .serverErrorAfter:
            note(.apiErrors) { "\($0.describe(open.call)): done, answered 502" }
            refuse(number, WorldFailure(502, "bad gateway"))
            return
        case .malformed:
            note(.apiErrors) { "\($0.describe(open.call)): done, answered with a page" }
            respond(
                number,
                .failed(
                    failure: Failure(
                        .unavailable, "a web page came instead of JSON", isAmbiguous: open.call.isMutation)))
            return
        case .slow(let milliseconds):
            respond(
                number, PlatformTranslation.answer(worldAnswer, to: open.call, sentAt: open.sentAt),
                after: .milliseconds(milliseconds))
            return
        case .stale(let milliseconds):
            if case .machines = worldAnswer, let old = list(asOf: now - .milliseconds(milliseconds)) {
                calls[number].doneAt = now - .milliseconds(milliseconds)
                note(.staleLists) { "\($0.describe(open.call)): as of \(milliseconds) ms ago" }
                respond(number, PlatformTranslation.answer(.machines(old), to: open.call, sentAt: open.sentAt))
                return
            }
        case .duplicated(_, let isSecondAnswered):
            if isSecondAnswered, open.attempt == 1 {
                calls[number].attempt = 2  // the first answer is the one that is lost
                return
            }
        case .lostBefore, .lostAfter, .late, .serverError, .capacity, .rateLimited, nil:
            break
        }
        var answer = PlatformTranslation.answer(worldAnswer, to: open.call, sentAt: open.sentAt)
        if open.mayHaveHappened, open.call.isMutation, case .failed(var failure) = answer {
            failure.isAmbiguous = true
            answer = .failed(failure: failure)
        }
        respond(number, answer)
    }

    private mutating func respond(_ number: Int, _ answer: Answer, after pause: Duration = .zero) {
        guard calls[number].isAwaited else { return }
        let open = calls[number]
        tell(.call, open.process) { "<- \($0.describe(open.call)): \($0.describe(answer))" }
        schedule(
            .deliver(process: open.process, kind: .answered(action: open.action, answer: answer)),
            at: now + latency(number, 100 + open.attempt) + pause)
        calls[number].isAwaited = false
    }

    // MARK: - Registry and lists

    /// What an image reference means now; nil where no registry gives it out.
    func pullable(_ reference: String) -> ImageDigest? {
        let time = now.milliseconds
        if !registryOutages.isEmpty, registryOutages.contains(where: { $0.contains(time) }) { return nil }
        return prepared.images[reference]
    }

    mutating func rememberList() {
        let list = (world.apps[scenario.app.rawValue]?.machines ?? []).compactMap { world.machines[$0] }
            .filter { $0.state != .destroyed }
        if pastLists.count >= 80 { pastLists.removeFirst(40) }
        pastLists.append((now, list))
    }

    private func list(asOf time: Timestamp) -> [WorldMachine]? {
        (pastLists.last { $0.at <= time })?.list
    }
}
