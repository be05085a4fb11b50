// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import HTTPTransport
internal import Model

/// How long calls may take. A server may be silent while it works, so a stall is no sooner than the total.
package enum FlyTimeouts {
    package static let connect: Duration = .seconds(10)
    package static let read: Duration = .seconds(30)
    /// Lists grow with the fleet.
    package static let list: Duration = .seconds(60)
    /// A lease lives for seconds; an answer later than this is no use.
    package static let lease: Duration = .seconds(10)
    /// The platform pulls the image and places the machine before it answers.
    package static let mutation: Duration = .seconds(120)
    /// What a wait's transfer gets beyond the wait itself.
    package static let waitGrace: Duration = .seconds(15)
    /// The platform accepts waits in this range.
    package static let waitRange: ClosedRange<Duration> = .seconds(1) ... .seconds(60)
}

/// One call before it is sent: everything the wire needs but the token.
struct APICall {
    enum Service {
        case machines, platform
    }

    /// What a 404 without words means.
    enum Subject {
        case app, machine, other
    }

    var action: APIAction
    var service: Service = .machines
    var method: String
    /// The path with `{app}`, `{machine}` and `{key}` in place of names, as observers see it.
    var template: String
    var app: AppName?
    var machine: MachineID?
    /// What `{key}` stands for.
    var key = ""
    var query: [(name: String, value: String)] = []
    var body: JSONValue?
    var leaseNonce: LeaseNonce?
    var repetition: RetryPolicy.Repetition
    var total: Duration
    /// The platform's own waiting time, sent as the query's `timeout` and shortened on every repeat.
    var wait: Duration?
    /// Whether 408 is what the caller asked to be told, rather than a failure to repeat.
    var timeoutIsAnAnswer = false
    var subject: Subject = .other
    var maxBodyBytes = APICall.maxAnswerBytes

    static let maxAnswerBytes = 8 * 1024 * 1024
    /// A thousand machines with their configs, events and checks.
    static let maxListBytes = 32 * 1024 * 1024

    /// Whether a lost answer leaves open what is so now.
    var changesSomething: Bool {
        switch action {
        case .getApp, .listMachines, .getMachine, .waitMachine, .listVersions, .getLease, .getMetadata, .listSecrets,
            .listRegions,
            .simulatePlacement, .listReleases, .currentRelease, .readLogs:
            false
        case .deleteApp, .createMachine, .updateMachine, .destroyMachine, .startMachine, .stopMachine, .restartMachine,
            .cordonMachine, .uncordonMachine, .acquireLease, .releaseLease, .setMetadata, .patchMetadata,
            .deleteMetadata, .createRelease, .updateRelease:
            true
        }
    }

    var rateLimitKey: RateLimitKey {
        RateLimitKey(action, machine?.rawValue ?? app?.rawValue ?? key)
    }

    /// The path with its names in place; throws `badRequest` where a name could not be part of a path.
    func path() throws(FlyError) -> String {
        var segments: [String] = []
        for segment in template.split(separator: "/") {
            switch segment {
            case "{app}": segments.append(try named(app?.rawValue ?? "", "app name"))
            case "{machine}": segments.append(try named(machine?.rawValue ?? "", "machine id"))
            case "{key}": segments.append(try named(key, "name"))
            default: segments.append(String(segment))
            }
        }
        return "/" + segments.joined(separator: "/")
    }

    private func named(_ name: String, _ what: String) throws(FlyError) -> String {
        guard !name.isEmpty, name != ".", name != ".." else {
            throw FlyError(
                .badRequest, message: "“\(FlyError.oneLine(name))” is no \(what)", method: method, path: template)
        }
        return PercentEncoding.escaped(name)
    }

    /// The request as it is sent; `wait` is what remains of the call's own.
    func request(path: String, endpoints: FlyEndpoints, token: FlyToken, userAgent: String, wait: Duration?)
        -> HTTPRequest
    {
        var fields = query
        var total = total
        if let wait {
            fields.append((name: "timeout", value: String(wait.components.seconds)))
            total = .seconds(wait.components.seconds) + FlyTimeouts.waitGrace
        }
        let text = fields.map { PercentEncoding.escaped($0.name) + "=" + PercentEncoding.escaped($0.value) }.joined(
            separator: "&")
        let base = service == .machines ? endpoints.machines : endpoints.platform
        // Logs are read with the macaroons alone, as flyctl does.
        let usesMachinesToken = service == .machines || action == .readLogs
        var headers: HTTPHeaders = [
            "Authorization": usesMachinesToken ? token.machinesAuthorization : token.platformAuthorization,
            "Accept": "application/json",
            "User-Agent": userAgent,
        ]
        if let leaseNonce { headers["fly-machine-lease-nonce"] = leaseNonce.rawValue }
        var content = HTTPBody.none
        if let body {
            headers["Content-Type"] = "application/json"
            content = .bytes(Data(body.text().utf8))
        }
        return HTTPRequest(
            method, base + path + (text.isEmpty ? "" : "?" + text), headers: headers, body: content,
            timeouts: HTTPTimeouts(connect: FlyTimeouts.connect, total: total, stall: total),
            maxBodyBytes: maxBodyBytes)
    }
}
