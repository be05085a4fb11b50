// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// The registry and the images as another program sees them: skopeo.
@Suite("skopeo", .serialized, .enabled(if: Surroundings.has("skopeo", for: "images between skopeo and airboss")))
struct RegistryToolTests {
    private func skopeo(_ arguments: String...) async throws -> String {
        let outcome = try await RunningProgram.run(["skopeo", "--insecure-policy"] + arguments)
        guard outcome.status == 0 else { throw Trouble("skopeo \(arguments): \(outcome.everything)") }
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private func copy(from source: String, to destination: String, _ more: String...) async throws {
        let outcome = try await RunningProgram.run(
            [
                "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
                source.hasPrefix("docker:") ? "--src-creds" : "--dest-creds", "x:\(Workshop.token)",
            ] + more + [source, destination])
        guard outcome.status == 0 else { throw Trouble("skopeo copy: \(outcome.everything)") }
    }

    @Test("pulls what layers pushed, and what it pushes runs", .enabled(if: DemoService.canRun))
    func bothWays() async throws {
        try await Workshop.open(.process) { workshop in
            let run = try await workshop.run("deploy", "production", "--reason", "To be pulled")
            #expect(run.status == 0, "\(run.outcome.everything)")
            let image = try #require(run.last["image"]?.string)
            let digest = String(image.drop { $0 != "@" }.dropFirst())

            let inspected = try JSONValue(
                parsing: await skopeo(
                    "inspect", "--tls-verify=false", "--creds", "x:\(Workshop.token)", "docker://\(image)"))
            #expect(inspected["Digest"]?.string == digest)
            let config = try JSONValue(
                parsing: await skopeo(
                    "inspect", "--config", "--tls-verify=false", "--creds", "x:\(Workshop.token)", "docker://\(image)"))
            #expect(config["config"]?["Entrypoint"] == ["/app/server"])

            // The files, as tar has them.
            let pulled = workshop.folder + "/pulled"
            try await copy(from: "docker://\(image)", to: "dir:\(pulled)")
            let manifest = try JSONValue(
                parsing: FileManager.default.contents(atPath: pulled + "/manifest.json") ?? Data())
            var files: [String] = []
            for layer in manifest["layers"]?.array ?? [] {
                let blob = pulled + "/" + (layer["digest"]?.string ?? "").replacing("sha256:", with: "")
                let list = try await RunningProgram.run(["tar", "-tf", blob])
                #expect(list.status == 0, "\(list.errors)")
                files += list.output.split(separator: "\n").map {
                    $0.hasPrefix("./") ? String($0.dropFirst(2)) : String($0)
                }
            }
            #expect(
                files.contains { $0.hasSuffix("app/server") } && files.contains { $0.hasSuffix("app/service.conf") })

            // Another image, in Docker's own format, that differs in what it answers.
            let changed = workshop.folder + "/changed"
            try await remake(at: changed)
            let pushed = "\(workshop.fly.address)/\(Workshop.app):by-hand"
            try await copy(from: "oci:\(changed):by-hand", to: "docker://\(pushed)", "--format", "v2s2")
            let second = try await workshop.run(
                "deploy", "production", "--image", pushed, "--reason", "Made elsewhere")
            #expect(second.status == 0, "\(second.outcome.everything)")
            let deployed = try #require(second.last["image"]?.string)
            #expect(deployed != image && deployed.contains("@sha256:"), "\(deployed)")
            #expect(try await workshop.fly.visit(Workshop.app).text == "made elsewhere\n")
        }
    }

    /// An OCI layout with the demo's service and another answer, made by hand.
    private func remake(at path: String) async throws {
        let script = """
            import hashlib, io, json, os, sys, tarfile
            server, out = sys.argv[1:]
            os.makedirs(out + "/blobs/sha256")
            def blob(data):
                name = hashlib.sha256(data).hexdigest()
                open(out + "/blobs/sha256/" + name, "wb").write(data)
                return {"digest": "sha256:" + name, "size": len(data)}
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                def add(name, data, mode):
                    entry = tarfile.TarInfo(name)
                    entry.size, entry.mode = len(data), mode
                    tar.addfile(entry, io.BytesIO(data))
                add("srv/service", open(server, "rb").read(), 0o755)
                add("srv/conf", b"message=made elsewhere\\n", 0o644)
            layer = blob(buffer.getvalue())
            config = blob(json.dumps({
                "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64", "os": "linux",
                "config": {"Entrypoint": ["/srv/service"], "Env": ["SERVICE_FILE=/srv/conf"]},
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}).encode())
            manifest = blob(json.dumps({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer}]}).encode())
            index = {"schemaVersion": 2, "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json", **manifest,
                "annotations": {"org.opencontainers.image.ref.name": "by-hand"}}]}
            open(out + "/index.json", "w").write(json.dumps(index))
            open(out + "/oci-layout", "w").write('{"imageLayoutVersion": "1.0.0"}')
            """
        let made = try await RunningProgram.run(["python3", "-c", script, try DemoService.path.get(), path])
        guard made.status == 0 else { throw Trouble(made.errors) }
    }
}

/// The same commit gives the same image, wherever it is built.
@Suite("Reproducible builds", .serialized)
struct ReproducibilityTests {
    @Test("two clones at different paths, with other times and umasks, give one digest")
    func clones() async throws {
        try await Workshop.open(.model, ["--no-rate-limits"]) { workshop in
            try workshop.write("app/run.sh", "#!/bin/sh\n", mode: 0o755)
            try await workshop.commit("With a script", ["message=same"])
            var images: Set<String> = []
            for (name, umask) in [("one", "022"), ("a/much/deeper/two", "077")] {
                let place = workshop.folder + "/" + name
                let clone = try await RunningProgram.run([
                    "sh", "-c", "umask \(umask) && git clone -q \"$0\" \"$1\" && touch -d 2001-02-03 \"$1/app/run.sh\"",
                    workshop.repository, place,
                ])
                #expect(clone.status == 0, "\(clone.errors)")
                let run = try JSONRun(
                    await workshop.start(
                        ["deploy", "production", "--reason", "From \(name)", "--output", "json"],
                        ["AIRBOSS_STATE": "sqlite:\(workshop.folder)/state.sqlite"], in: place
                    ).end())
                #expect(run.status == 0, "\(run.outcome.everything)")
                images.insert(run.last["image"]?.string ?? name)
            }
            #expect(images.count == 1, "\(images)")
        }
    }
}
