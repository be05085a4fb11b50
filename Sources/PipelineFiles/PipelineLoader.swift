// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FoundationEssentials
internal import Glibc
package import Model

/// Finds pipeline files and reads them with the fly.toml they name.
package enum PipelineLoader {
    /// Reads a pipeline and its fly.toml. Throws ``PipelineFileErrors`` with everything that is wrong in the pipeline,
    /// or in its fly.toml. What comes back beside them are warnings and ``Pipeline/unsupportedFeatures``: with an error
    /// among these, nothing may be deployed.
    package static func load(
        path: String, environment: [String: String]
    ) throws(PipelineFileErrors) -> (pipeline: Pipeline, flyToml: FlyToml, diagnostics: [Diagnostic]) {
        let pipeline = try Pipeline(
            parsing: text(of: path, at: SourceLocation(path: path, line: 1, column: 1)), path: path,
            environment: environment)
        let flyText = try text(of: pipeline.flyToml, at: pipeline.location(of: "fly_toml"))
        let flyToml = try FlyToml(parsing: flyText, path: pipeline.flyToml, app: pipeline.app) { path in
            bytes(of: path)
        }
        let together = check(pipeline, with: flyToml)
        let errors = together.filter { $0.severity == .error }
        guard errors.isEmpty else { throw PipelineFileErrors(errors) }
        return (pipeline, flyToml, pipeline.unsupportedFeatures + pipeline.warnings + flyToml.warnings + together)
    }

    /// The rules between the two files.
    package static func check(_ pipeline: Pipeline, with flyToml: FlyToml) -> [Diagnostic] {
        var result: [Diagnostic] = []
        let groups = flyToml.groups.map(\.rawValue)
        for group in pipeline.deploy.machines.groups.keys.sorted() where !groups.contains(group.rawValue) {
            let nearest = Nearest.name(to: group.rawValue, among: groups).map { "did you mean “\($0)”? " } ?? ""
            result.append(
                Diagnostic(
                    .error, at: pipeline.location(of: "deploy.machines.\(group)"),
                    "fly.toml has no process group “\(group)”",
                    suggestion: nearest + "its groups: \(groups.joined(separator: ", "))"))
        }
        if case .layers(let recipe) = pipeline.build, recipe.base == .scratch, recipe.entrypoint.isEmpty,
            recipe.cmd.isEmpty
        {
            let silent = flyToml.groups.first {
                flyToml.machineConfig(for: $0).json["init"]?.object?.isEmpty ?? true
            }
            if let silent {
                result.append(
                    Diagnostic(
                        .error, at: pipeline.location(of: "build.layers"),
                        "nothing says which program runs in machines of the group “\(silent)”",
                        suggestion: "add entrypoint, or cmd"))
            }
        }
        // The fleet is known here only where the pipeline states it; a run looks at the real one.
        let stated = flyToml.groups.filter { flyToml.hasServices($0) && pipeline.deploy.machines.count(for: $0) != nil }
        guard !stated.isEmpty, stated.count == flyToml.groups.filter(flyToml.hasServices).count else { return result }
        let fleet = Dictionary(stated.map { ($0, pipeline.deploy.machines.count(for: $0) ?? 0) }) { first, _ in first }
        return result + pipeline.rolloutBounds(fleet: fleet).diagnostics
    }

    /// The path of a pipeline: itself where the name is one (it has a slash or ends in .yml or .yaml), else that of
    /// NAME.yml or NAME.yaml in the directory. Throws an ``AirbossError`` that lists what there is.
    package static func find(name: String, in directory: String) throws(AirbossError) -> String {
        let isPath = name.contains("/") || name.hasSuffix(".yml") || name.hasSuffix(".yaml")
        if isPath {
            if exists(name) { return name }
            let inside = directory + "/" + name
            if !name.contains("/"), exists(inside) { return inside }
            throw AirbossError(
                .configuration, "there is no pipeline file \(name)", hint: suggestion(for: name, in: directory))
        }
        let found = [".yml", ".yaml"].map { directory + "/" + name + $0 }.filter(exists)
        guard let first = found.first, !name.isEmpty else {
            throw AirbossError(
                .configuration, "there is no pipeline “\(name)” in \(directory)",
                hint: suggestion(for: name, in: directory))
        }
        guard found.count == 1 else {
            throw AirbossError(
                .configuration, "there are two pipelines “\(name)” in \(directory)",
                hint: "keep one of \(found.joined(separator: " and "))")
        }
        return first
    }

    /// The names of the pipelines in a directory, in order; empty where there is no such directory.
    package static func names(in directory: String) -> [String] {
        // A directory that can't be listed has no pipelines to offer; `find` says what was looked for.
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let pipelines = files.filter { !$0.hasPrefix(".") && ($0.hasSuffix(".yml") || $0.hasSuffix(".yaml")) }
        return Set(pipelines.map(FilePaths.stem)).sorted()
    }

    private static func suggestion(for name: String, in directory: String) -> String {
        let available = names(in: directory)
        guard !available.isEmpty else { return "\(directory) holds no pipelines (*.yml); --pipelines names another" }
        let nearest = Nearest.name(to: FilePaths.stem(of: name), among: available)
        return (nearest.map { "did you mean “\($0)”? " } ?? "") + "there are: " + available.joined(separator: ", ")
    }

    private static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: path)
    }

    private static func text(of path: String, at location: SourceLocation) throws(PipelineFileErrors) -> String {
        let content: [UInt8]
        switch bytes(of: path) {
        case .success(let value): content = value
        case .failure(let problem):
            throw PipelineFileErrors([
                Diagnostic(.error, at: location, "\(path) cannot be read: \(problem.reason)")
            ])
        }
        let start = SourceLocation(path: path, line: 1, column: 1)
        guard let text = String(validating: content, as: UTF8.self) else {
            throw PipelineFileErrors([
                Diagnostic(
                    .error, at: invalid(content, path), "the file is not UTF-8 text", suggestion: "save it as UTF-8")
            ])
        }
        guard !text.allSatisfy(\.isWhitespace) else {
            throw PipelineFileErrors([Diagnostic(.error, at: start, "the file is empty")])
        }
        return text.hasPrefix("\u{FEFF}") ? String(text.unicodeScalars.dropFirst()) : text
    }

    /// The line of the first bytes that are not UTF-8.
    private static func invalid(_ content: [UInt8], _ path: String) -> SourceLocation {
        var line = 1
        for piece in content.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if String(validating: piece, as: UTF8.self) == nil { break }
            line += 1
        }
        return SourceLocation(path: path, line: line, column: 1)
    }

    /// A regular file's bytes, up to the limit; a pipe or a device is never waited for.
    private static func bytes(of path: String) -> Result<[UInt8], FlyToml.FileProblem> {
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(FlyToml.FileProblem(reason(errno))) }
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return .failure(FlyToml.FileProblem(reason(errno))) }
        guard information.st_mode & S_IFMT == S_IFREG else {
            let isFolder = information.st_mode & S_IFMT == S_IFDIR
            return .failure(FlyToml.FileProblem(isFolder ? "it is a folder" : "it is not a file"))
        }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while content.count <= FileLimits.maxFileBytes {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failure(FlyToml.FileProblem(reason(errno))) }
            if count == 0 { return .success(content) }
            content += buffer[..<count]
        }
        return .failure(FlyToml.FileProblem("it is larger than \(FileLimits.maxFileBytes / 1024) KiB"))
    }

    private static func reason(_ code: Int32) -> String {
        switch code {
        case ENOENT, ENOTDIR: "there is no such file"
        case EACCES, EPERM: "permission denied"
        default: String(cString: strerror(code)).lowercased()
        }
    }
}
