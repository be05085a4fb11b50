// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Glibc
import Model
import Testing

@testable import Images

/// What a tool printed, and how it ended; the tool reads nothing.
func run(_ command: String) async throws -> (status: Int32, output: String) {
    try await FileWork.run {
        guard let pipe = popen(command + " 2>&1 </dev/null", "r") else { return (-1, "popen failed") }
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = fread(&buffer, 1, buffer.count, pipe)
            if count == 0 { break }
            output += buffer[..<count]
        }
        return (pclose(pipe), String(decoding: output, as: UTF8.self))
    }
}

func isInstalled(_ tool: String) -> Bool {
    ["/usr/bin/", "/usr/local/bin/", "/bin/"].contains { access($0 + tool, X_OK) == 0 }
}

@Suite struct TarTests {
    @Test func `GNU tar lists and extracts what we write`() async throws {
        let image = try await offlineBuilder().assemble(
            source: MemoryTree.service, layers: .service, created: committedAt)
        let layer = try #require(image.layers.first)
        let listing = try await run("LC_ALL=C.UTF-8 TZ=UTC tar --quoting-style=literal -tvf '\(layer.path)'")
        #expect(listing.status == 0)
        let long = "app/" + String(repeating: "long/", count: 40)
        for line in [
            "drwxr-xr-x 0/0               0 2026-09-21 14:13 app/",
            "-rwxr-xr-x 0/0              12 2026-09-21 14:13 app/server",
            "-rw-r--r-- 0/0              15 2026-09-21 14:13 app/public/index.html",
            "lrwxrwxrwx 0/0               0 2026-09-21 14:13 app/current -> public",
            "lrwxrwxrwx 0/0               0 2026-09-21 14:13 app/far -> "
                + String(repeating: "../", count: 40) + "etc/hostname",
            "drwxr-xr-x 0/0               0 2026-09-21 14:13 " + long,
            "-rw-r--r-- 0/0               5 2026-09-21 14:13 " + long + "name.txt",
        ] {
            #expect(listing.output.split(separator: "\n").contains { $0 == line }, "\(line)\nin\n\(listing.output)")
        }
        try await withFolder { folder in
            let extraction = try await run("tar -xf '\(layer.path)' -C '\(folder)'")
            #expect(extraction.status == 0, "\(extraction.output)")
            for (name, content) in [
                "server": "#!/bin/true\n", "public/é.txt": "one scalar\n", "public/e\u{301}.txt": "two scalars\n",
                "empty": "", String(repeating: "long/", count: 40) + "name.txt": "deep\n",
            ] as KeyValuePairs {
                #expect(try String(contentsOfFile: folder + "/app/" + name, encoding: .utf8) == content)
            }
        }
    }

    @Test func `The order of the source does not matter, and two runs give the same bytes`() async throws {
        var shuffled = MemoryTree.service
        shuffled.files.reverse()
        shuffled.pieceBytes = 3
        let one = try await offlineBuilder().assemble(
            source: MemoryTree.service, layers: .service, created: committedAt)
        let two = try await offlineBuilder().assemble(source: shuffled, layers: .service, created: committedAt)
        #expect(one.digest == two.digest)
        #expect(try await run("cmp '\(one.layers[0].path)' '\(two.layers[0].path)'").status == 0)
    }

    /// If this fails, every image ever built changes its digest: don't edit the value, find out why.
    @Test func `The digest of the fixed image never changes`() async throws {
        let image = try await offlineBuilder().assemble(
            source: MemoryTree.service, layers: .service, created: committedAt)
        #expect(
            image.layers.map(\.descriptor.digest) == [
                "sha256:7d1672374cc779924bea97c0e4b8a7385964c55f94e2d324c4aedfde7e6016ca"
            ])
        #expect(
            image.manifest.config.digest == "sha256:1b6bb309e094ed401221a1c65b1a7541f145bcc6d0e830d594f3afebe3e9bb2e")
        #expect(image.digest == "sha256:aad4c03b06e466079fec3613e322907f640405d1dd9d36f255d4964e8e5d5fb8")
    }

    @Test(arguments: [
        (Int64(0), 0), (1, 511), (511, 1), (512, 0), (513, 511), (TarFormat.maxOctal + 1, 0),
    ])
    func `Contents end at a block`(size: Int64, zeros: Int) {
        #expect(TarFormat.padding(after: size) == zeros)
    }

    /// The length of a pax record counts its own digits, which makes the values around a power of ten the hard ones.
    @Test(arguments: 101..<130)
    func `Names of every length come back`(length: Int) async throws {
        let name = [UInt8](repeating: UInt8(ascii: "n"), count: length)
        let archive = TarFormat.header(name: name, kind: .file, mode: 0o644, modified: 0) + TarFormat.end
        try await withFolder { folder in
            try Data(archive).write(to: URL(filePath: folder + "/a.tar"))
            let listing = try await run("tar -tf '\(folder)/a.tar'")
            #expect(listing.output == String(decoding: name, as: UTF8.self) + "\n")
        }
    }

    @Test func `Sizes and times beyond eleven octal digits go into pax records`() throws {
        let header = TarFormat.header(
            name: Array("f".utf8), kind: .file, mode: 0o644, size: TarFormat.maxOctal + 1, modified: -1)
        let records = String(decoding: header[512..<1024], as: UTF8.self)
        #expect(records.contains("19 size=8589934592\n"))
        #expect(records.contains("12 mtime=-1\n"))
        #expect(header.count == 3 * 512)
    }

    @Test func `A content of another size than promised is refused`() async throws {
        for size in [Int64(3), 9] {
            var tree = MemoryTree()
            tree.add("server", "12345", kind: .executable)
            tree.files[0].entry.size = size
            let layers = ImageLayers(copies: [.init(from: "server", to: "/server")], entrypoint: ["/server"])
            #expect(
                try await code {
                    _ = try await offlineBuilder().assemble(source: tree, layers: layers, created: committedAt)
                } == .sourceFailed)
        }
    }

    @Test func `A full image leaves no file behind`() async throws {
        try await withFolder { folder in
            let builder = ImageBuilder(registry: RegistryClient(http: ForbiddenNetwork()), temporaryDirectory: folder)
            do {
                let image = try await builder.assemble(
                    source: MemoryTree.service, layers: .service, created: committedAt)
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 1)
                withExtendedLifetime(image) {}
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }
}
