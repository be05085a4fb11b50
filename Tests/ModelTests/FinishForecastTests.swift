// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Model
import Testing

@Suite struct `How long a deploy will take` {
    private static func forecast(_ minutes: [Int], soak: Duration = .zero) -> FinishForecast {
        FinishForecast(
            past: minutes.map { .init(fromWindow: .seconds($0 * 60), fromDeploy: .seconds($0 * 30)) }, soak: soak,
            assumed: .seconds(400), assumption: "wait_timeout 5 m")
    }

    @Test(arguments: [
        ([4, 9, 2], 900, 1440, 1170, "the longest of the last 3 deploys took 9 m from here, and 15 m of soak follow"),
        ([4], 0, 240, 120, "the one deploy before took 4 m from here"),
        (
            [], 60, 460, 460,
            "no deploy of this pipeline was verified yet, so 6 m 40 s are assumed (wait_timeout 5 m), "
                + "and 1 m of soak follow"
        ),
    ])
    func `is the longest of the past and the soak`(
        minutes: [Int], soak: Int, fromWindow: Int, fromDeploy: Int, grounds: String
    ) {
        let forecast = Self.forecast(minutes, soak: .seconds(soak))
        #expect(forecast.expected(from: .window) == .seconds(fromWindow))
        #expect(forecast.expected(from: .deploy) == .seconds(fromDeploy))
        #expect(forecast.grounds(from: .window) == grounds)
    }

    @Test(arguments: [
        (0, "0 s"), (59, "59 s"), (60, "1 m"), (61, "1 m 1 s"), (3600, "1 h"), (86_400, "24 h"), (172_800, "48 h"),
        (172_801, "2 d"), (180_000, "2 d 2 h"), (-90, "1 m 30 s"),
    ])
    func `durations in words`(seconds: Int, words: String) {
        #expect(Duration.seconds(seconds).words == words)
    }
}
