// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@testable import FlyPlatform

@Suite struct FlyEndpointsTests {
    @Test func `the defaults are flyctl's`() throws {
        let endpoints = try FlyEndpoints(environment: ["FLY_FLAPS_BASE_URL": ""])
        #expect(endpoints.machines == "https://api.machines.dev")
        #expect(endpoints.platform == "https://api.fly.io")
        #expect(endpoints.registryHost == "registry.fly.io")
    }

    @Test(arguments: [
        ("http://_api.internal:4280", "http://_api.internal:4280"), ("http://127.0.0.1:4280/", "http://127.0.0.1:4280"),
        ("http://localhost:1", "http://localhost:1"), ("http://[::1]:4280", "http://[::1]:4280"),
        ("http://10.1.2.3", "http://10.1.2.3"), ("http://fly:4280//", "http://fly:4280"),
        ("https://proxy.example/fly", "https://proxy.example/fly"), ("http://172.31.0.1", "http://172.31.0.1"),
    ])
    func `stand-ins are taken`(_ text: String, _ base: String) throws {
        #expect(try FlyEndpoints(environment: ["FLY_FLAPS_BASE_URL": text]).machines == base)
        #expect(try FlyEndpoints(environment: ["FLY_API_BASE_URL": text]).platform == base)
    }

    @Test(arguments: [
        "api.machines.dev", "ftp://x", "https://", "https:///v1", "https://u:hush@x", "https://hush@x",
        "https://x?a=hush",
        "https://x#f", "http://api.machines.dev", "http://172.32.0.1", "http://8.8.8.8", "https://x y", "nonsense",
        "https://x/\n", "https://x/v1/",
    ])
    func `what is no base URL is refused`(_ text: String) throws {
        let error = try #require(throws: AirbossError.self) {
            _ = try FlyEndpoints(environment: ["FLY_FLAPS_BASE_URL": text])
        }
        #expect(error.code == .configuration)
        #expect(error.message.contains("FLY_FLAPS_BASE_URL"))
        #expect(!error.hint.isEmpty)
        #expect(!error.description.contains("hush"))
    }

    @Test(arguments: ["registry.fly.io", "127.0.0.1:5000", "localhost:5000", "[::1]:5000"])
    func `a registry is a host`(_ text: String) throws {
        #expect(try FlyEndpoints(environment: ["FLY_REGISTRY_HOST": text]).registryHost == text)
    }

    @Test(arguments: [
        "https://registry.fly.io", "registry.fly.io/x", "u@registry", "registry:", "a b", "r?x", "r:port",
    ])
    func `what is no registry is refused`(_ text: String) throws {
        let error = try #require(throws: AirbossError.self) {
            _ = try FlyEndpoints(environment: ["FLY_REGISTRY_HOST": text])
        }
        #expect(error.message.contains("FLY_REGISTRY_HOST"))
    }
}
