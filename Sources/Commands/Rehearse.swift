// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import ArgumentParser
internal import FoundationEssentials
internal import Model
internal import PipelineFiles
internal import Rehearsal
internal import Stages

struct RehearseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rehearse",
        abstract: "Play a pipeline's deploy through thousands of simulated outages.",
        discussion: """
            Your own pipeline and fly.toml on a simulated fleet like yours, in virtual time: each seed chooses what \
            goes wrong and when. Nothing is asked of Fly, no token is needed, and nothing is changed. The report \
            says how the deploys ended, whether the serving floor held, how long it took to restore service, the \
            worst stories, and what in the pipeline made them. The same seed tells the same story again.

            Faults: \(FaultKind.allCases.map(\.rawValue).joined(separator: ", ")).

            Examples:
              airboss rehearse production
              airboss rehearse production --seeds 20000 --html rehearsal.html
              airboss rehearse production --faults capacity,registry,slow-boot,api-5xx
              airboss rehearse production --faults all,-lost-journal --machines 5
              airboss rehearse production --machines web=3,worker=1
              airboss rehearse production --seed 4711            one seed, with everything that happened in it
              airboss rehearse --proof --seeds 1000000           the proof of docs/reliability.md: built-in scenarios

            Exit codes: 0 every invariant held, however badly the deploys ended; 11 one did not, which is a defect of \
            Airboss: the report says how to report it; 130 and 143 after a signal, with the report of what was run.
            """)

    @Argument(help: "The pipeline: NAME of pipelines/NAME.yml, or a path.")
    var pipeline: String?

    @Option(name: .long, help: ArgumentHelp("How many seeds to play. (default: 1000)", valueName: "n"))
    var seeds: Int?

    @Option(name: .long, help: ArgumentHelp("Play this one seed, and tell everything.", valueName: "n"))
    var seed: UInt64?

    @Option(name: .customLong("first-seed"), help: ArgumentHelp("The seed to begin with.", valueName: "n"))
    var firstSeed: UInt64 = 1

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Kinds of fault, with commas between them; all where none is named. all,-KIND leaves one out.",
            valueName: "list"))
    var faults: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Machines of each group that takes traffic, or GROUP=N,GROUP=N. Default: the pipeline's deploy.machines.",
            valueName: "n"))
    var machines: String?

    @Option(name: .long, help: ArgumentHelp("Also write the report as a page.", valueName: "file"))
    var html: String?

    @Option(name: .long, help: ArgumentHelp("Seeds played at once. (default: the machine's cores)", valueName: "n"))
    var jobs: Int?

    @Flag(
        name: .long,
        help: ArgumentHelp(
            "Prove Airboss itself instead of a pipeline.",
            discussion: "Every kill point of the built-in scenarios, alone and in pairs; the model check; random seeds."
        )
    )
    var proof = false

    @Option(
        name: .customLong("pair-stride"),
        help: ArgumentHelp("With --proof: try only every n-th pair of kill points.", valueName: "n"))
    var pairStride = 1

    @Option(
        name: .customLong("model-check"),
        help: ArgumentHelp(
            "With --proof: quick, or whole with the searches that take minutes and gigabytes. (default: quick)",
            valueName: "extent"))
    var modelCheck: SearchExtent?

    /// How much the model check searches through.
    enum SearchExtent: String, ExpressibleByArgument, CaseIterable {
        case quick, whole
    }

    @OptionGroup var options: GlobalOptions

    /// Seeds played where none are asked for.
    private static let defaultSeeds = 1000
    private static let maxSeeds = 100_000_000
    private static let maxJobs = 64
    private static let maxMachines = 200

    func validate() throws {
        guard proof != (pipeline != nil) else {
            throw ValidationError(
                proof ? "--proof takes no pipeline: it plays the built-in scenarios." : "Name a pipeline, or --proof.")
        }
        if let seeds, !(1...RehearseCommand.maxSeeds).contains(seeds) {
            throw ValidationError("--seeds is from 1 to \(Words.number(RehearseCommand.maxSeeds)).")
        }
        if seed != nil, seeds != nil { throw ValidationError("--seed plays one seed, --seeds many: give one of them.") }
        if let jobs, !(1...RehearseCommand.maxJobs).contains(jobs) {
            throw ValidationError("--jobs is from 1 to \(RehearseCommand.maxJobs).")
        }
        if proof, machines != nil || html != nil {
            throw ValidationError("--machines and --html are for a pipeline, not for --proof.")
        }
        guard proof || modelCheck == nil else { throw ValidationError("--model-check is for --proof.") }
        guard pairStride >= 1 else { throw ValidationError("--pair-stride is at least 1.") }
        _ = try chosenFaults()
        _ = try chosenMachines()
    }

    func run() async throws {
        if proof {
            if let seed { return try tellBuiltIn(seed) }
            return try await prove()
        }
        let subject = try subject()
        if let seed { return try tell(seed, of: subject) }
        try await rehearse(subject)
    }

    // MARK: - What is rehearsed

    struct Subject {
        var context: PipelineContext
        var subject: RehearsalSubject
        var rehearsal: Rehearsal
    }

    private func subject() throws -> Subject {
        let context = try options.load(pipeline ?? "")
        let flyToml = context.flyToml
        let (all, named) = try chosenMachines()
        for group in named.keys where !flyToml.groups.contains(group) {
            let groups = flyToml.groups.map(\.rawValue).joined(separator: ", ")
            throw AirbossError(
                .usage, "--machines: fly.toml has no process group “\(group)”", hint: "its groups: \(groups)")
        }
        var fleet: [ProcessGroup: Int] = [:]
        for group in flyToml.groups {
            let stated = context.pipeline.deploy.machines.count(for: group)
            let everywhere = flyToml.hasServices(group) ? all : nil
            fleet[group] = named[group] ?? everywhere ?? stated ?? flyToml.defaultMachineCount(for: group)
        }
        var request = try context.request(
            .deploy, run: "01REHEARSAL", actor: "rehearsal", reason: "rehearsal",
            // What the image is called today is nothing to a rehearsal, and its variables need not be set.
            image: "registry.fly.io/\(context.pipeline.app):rehearsal", channels: channels(of: context.pipeline))
        request.settings.machineCounts = fleet
        // What else must be healthy is not part of the fleet that is played.
        request.settings.healthyElsewhere = []
        let subject = RehearsalSubject(request: request, fleet: fleet, faults: try chosenFaults())
        return Subject(
            context: context, subject: subject, rehearsal: Rehearsal(subject))
    }

    private func channels(of pipeline: Pipeline) -> [NoticeOrder.Channel] {
        (pipeline.notify.email == nil ? [] : [.email]) + (pipeline.notify.slack == nil ? [] : [.slack])
    }

    /// The kinds named, in a list that may begin with `all` or `none`.
    func chosenFaults() throws -> Set<FaultKind> {
        guard let faults else { return Set(FaultKind.allCases) }
        var chosen: Set<FaultKind> = []
        for word in faults.split(separator: ",").map({ String($0.filter { $0 != " " }) }) where !word.isEmpty {
            switch word {
            case "all": chosen = Set(FaultKind.allCases)
            case "none": chosen = []
            case _ where word.hasPrefix("-"): chosen.remove(try RehearseCommand.kind(String(word.dropFirst())))
            default: chosen.insert(try RehearseCommand.kind(word))
            }
        }
        return chosen
    }

    private static func kind(_ word: String) throws -> FaultKind {
        if let kind = FaultKind(rawValue: word) { return kind }
        let names = FaultKind.allCases.map(\.rawValue)
        let nearest = Nearest.name(to: word, among: names).map { "Did you mean “\($0)”? " } ?? ""
        throw ValidationError(
            "--faults: there is no fault “\(word)”. \(nearest)There are: \(names.joined(separator: ", ")).")
    }

    /// `3`, or `web=3,worker=1`.
    func chosenMachines() throws -> (all: Int?, named: [ProcessGroup: Int]) {
        guard let machines else { return (nil, [:]) }
        func count(_ text: Substring) throws -> Int {
            guard let number = Int(text), (0...RehearseCommand.maxMachines).contains(number) else {
                throw ValidationError(
                    "--machines is a number up to \(RehearseCommand.maxMachines), or GROUP=N with commas between them.")
            }
            return number
        }
        guard machines.contains("=") else { return (try count(machines[...]), [:]) }
        var named: [ProcessGroup: Int] = [:]
        for part in machines.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2 else {
                throw ValidationError("--machines: “\(part)” is not GROUP=N.")
            }
            named[ProcessGroup(pair[0].filter { $0 != " " })] = try count(pair[1])
        }
        return (nil, named)
    }

    /// The options that a command which repeats a seed needs beside it.
    private var replayOptions: String {
        (options.pipelines.map { " --pipelines \(ShellWord.quoted($0))" } ?? "")
            + (faults.map { " --faults \(ShellWord.quoted($0))" } ?? "")
            + (machines.map { " --machines \(ShellWord.quoted($0))" } ?? "")
    }

    // MARK: - Many seeds

    private func rehearse(_ subject: Subject) async throws {
        let count = seeds ?? RehearseCommand.defaultSeeds
        let progress = RehearsalProgress("seeds", total: count, look: options.progressLook)
        let stop = StopSignal()
        let work = RehearsalJobs(firstSeed..<(firstSeed &+ UInt64(count)), jobs: jobCount, until: stop)
        let rehearsal = subject.rehearsal
        let parts = await work.run({ RehearsalTally() }) { seed, tally in
            let run = rehearsal.runNamingFaults(seed)
            tally.add(run)
            progress.count(violated: !run.violations.isEmpty)
        }
        let took = progress.elapsed
        progress.finish()
        let tally = parts.reduce(into: RehearsalTally()) { $0.merge($1) }
        let stories = RehearsalReport.worthTelling(tally).map { rehearsal.replayNamingFaults($0.seed) }
        let report = report(
            subject, .init(first: firstSeed, asked: count, wasInterrupted: stop.number != nil), tally, stories, took)
        try publish(report) {
            report.text(usesColor: options.usesColor)
        } json: {
            report.json
        }
        try RehearseCommand.end(after: stop.number)
    }

    private var jobCount: Int { jobs ?? max(1, ProcessInfo.processInfo.activeProcessorCount) }

    private func report(
        _ subject: Subject, _ seeds: RehearsalReport.Seeds, _ tally: RehearsalTally, _ stories: [RehearsedStory],
        _ took: Duration
    ) -> RehearsalReport {
        let (context, rehearsed) = (subject.context, subject.subject)
        // The loader has read the file a moment ago; without its text, advice stands at the file's start.
        let text = (try? String(contentsOfFile: context.pipeline.flyToml, encoding: .utf8)) ?? ""
        let advice = Advisor.advise(
            AdviceContext(pipeline: context.pipeline, subject: rehearsed, flyTomlText: text, tally: tally))
        return RehearsalReport(
            pipeline: pipeline ?? context.pipeline.name, reading: context.pipeline, subject: rehearsed, seeds: seeds,
            tally: tally, stories: stories, advice: advice, diagnostics: context.diagnostics,
            replayOptions: replayOptions, took: took)
    }

    // MARK: - One seed

    private func tell(_ seed: UInt64, of subject: Subject) throws {
        let start = ContinuousClock.now
        let story = subject.rehearsal.replayNamingFaults(seed)
        let shrunk = subject.rehearsal.shrink(seed)?.story
        var tally = RehearsalTally()
        tally.add(story.run)
        let report = report(
            subject, .init(first: seed, asked: 1, wasInterrupted: false), tally, [story], ContinuousClock.now - start)
        let replay = ReplayReport(name: report.pipeline, command: report.replay(seed), story: story, shrunk: shrunk)
        try publish(report) {
            replay.text(usesColor: options.usesColor)
        } json: {
            replay.json
        }
    }

    // MARK: - The proof

    private func prove() async throws {
        let count = UInt64(seeds ?? RehearseCommand.defaultSeeds)
        let proof = Proof(
            jobs: jobCount, seeds: firstSeed..<(firstSeed &+ count), pairStride: pairStride, faults: try chosenFaults(),
            searches: modelCheck == .whole ? ModelCheck.all + ModelCheck.large : ModelCheck.all,
            look: options.progressLook)
        let report = await proof.run()
        switch options.output {
        case .json: StandardStreams.output(report.json.text(pretty: true) + "\n")
        case .text: StandardStreams.output(report.markdown)
        }
        if !report.holds { throw ArgumentParser.ExitCode(Model.ExitCode.needsHuman.rawValue) }
        try RehearseCommand.end(after: proof.stop.number)
    }

    /// One seed of the built-in scenarios, with all that happened in it.
    private func tellBuiltIn(_ seed: UInt64) throws {
        let rehearsal = Rehearsal(faults: try chosenFaults())
        let story = rehearsal.replayNamingFaults(seed)
        let replay = ReplayReport(
            name: story.run.scenario, command: "airboss rehearse --proof --seed \(seed)\(replayOptions)", story: story,
            shrunk: rehearsal.shrink(seed)?.story)
        switch options.output {
        case .json: StandardStreams.output(replay.json.text(pretty: true) + "\n")
        case .text: StandardStreams.output(replay.text(usesColor: options.usesColor))
        }
        if !story.run.violations.isEmpty { throw ArgumentParser.ExitCode(Model.ExitCode.needsHuman.rawValue) }
    }

    /// A signal's exit code, after the report of what was run.
    private static func end(after signal: Int32?) throws {
        guard let signal else { return }
        let code: Model.ExitCode = signal == 15 ? .terminated : .interrupted
        throw ArgumentParser.ExitCode(code.rawValue)
    }

    // MARK: - Output

    /// Prints a report and writes its page; throws where an invariant did not hold.
    private func publish(_ report: RehearsalReport, text: () -> String, json: () -> JSONValue) throws {
        switch options.output {
        case .json: StandardStreams.output(json().text(pretty: true) + "\n")
        case .text: StandardStreams.output(text())
        }
        // After the report: a page that can't be written must not take what was played along.
        if let html { try RehearseCommand.write(report.html, to: html) }
        guard !report.isKept else { return }
        // The document says it all, and a second one would be one too many.
        if options.output == .json { throw ArgumentParser.ExitCode(Model.ExitCode.needsHuman.rawValue) }
        let seed = report.tally.violations.values.compactMap(\.seeds.first).min() ?? 0
        throw AirbossError(
            .needsHuman,
            "an invariant did not hold in \(Words.seeds(report.tally.violatedRuns)): a defect of Airboss",
            hint: "report it with the output of: \(report.replay(seed))")
    }

    private static func write(_ page: String, to path: String) throws {
        do {
            try Data(page.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw AirbossError(
                .usage, "the page can't be written to \(path)",
                hint: "name a file in a folder that exists and is writable")
        }
        StandardStreams.error("The page is in \(path).\n")
    }
}
