// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FoundationEssentials
import Model
import Synchronization
import Testing

@testable import Images

/// An image goes into another repository of its registry as it is: what was verified keeps its digest.
@Suite struct RegistryCopyTests {
    @Test(arguments: [true, false])
    func `An image keeps its digest, whether blobs are mounted or carried over`(mounts: Bool) async throws {
        let (registry, image) = try await RegistryPullTests.filled()
        registry.state.withLock { $0.allowsMount = mounts }
        let builder = ImageBuilder(registry: registry.client())
        let copied = try await builder.copy(image.reference, to: "other/app")
        #expect(copied.digest == image.digest)
        #expect(copied.reference.description == "127.0.0.1:5999/other/app@\(image.digest)")
        #expect((copied.uploadedBytes == 0) == mounts)
        #expect(try await registry.client().provePullable(copied.reference).config.command == image.config.command)
        // A second time there is nothing left to send, and nothing of the first repository was touched.
        let again = try await builder.copy(image.reference, to: "other/app")
        #expect(again.uploadedBytes == 0 && again.digest == image.digest)
        #expect(try await registry.client().resolve(image.reference).digest == image.digest)
    }

    @Test func `Of an image for several platforms all are copied, and its digest stays that of the index`() async throws
    {
        let registry = FakeRegistry()
        try await RegistryPullTests.fillBase(registry)
        let client = registry.client()
        let index = try await client.resolve(registry.reference("library/base:1"))
        let pinned = registry.reference("library/base").pinned(to: index.digest)
        let copied = try await ImageBuilder(registry: client).copy(pinned, to: "other/base")
        #expect(copied.digest == index.digest)
        for architecture in ["amd64", "arm64"] {
            let platform = ImageLayers.Platform(os: "linux", architecture: architecture)
            #expect(
                try await client.resolveImage(copied.reference, for: platform).config.command == ["/bin/sh", "-c", "x"])
        }
    }

    @Test func `What is not there can't be copied`() async throws {
        let (registry, _) = try await RegistryPullTests.filled()
        let missing = registry.reference("team/app").pinned(to: ImageDigest(RegistryPullTests.zeros))
        await #expect(throws: ImageError.self) {
            _ = try await ImageBuilder(registry: registry.client()).copy(missing, to: "other/app")
        }
        #expect(!registry.log.contains { $0.contains("other/app") })
    }
}
