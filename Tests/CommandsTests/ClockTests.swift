// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Foundation
import Model
import Testing

/// A program whose clock stands at 1970, by a library that is loaded before it.
@Suite(.serialized, .workshop(.model, deployed: true)) struct ClockTests {
    private static let library: String? = {
        let folder = NSTemporaryDirectory()
        let (source, library) = (folder + "airboss-1970-\(getpid()).c", folder + "airboss-1970-\(getpid()).so")
        let text = """
            #define _GNU_SOURCE
            #include <time.h>
            #include <sys/time.h>
            #include <unistd.h>
            #include <sys/syscall.h>
            int clock_gettime(clockid_t id, struct timespec *t) {
                int result = syscall(SYS_clock_gettime, id, t);
                if (id == CLOCK_REALTIME) t->tv_sec %= 1000;
                return result;
            }
            int gettimeofday(struct timeval *t, void *zone) {
                struct timespec now;
                (void)zone;
                clock_gettime(CLOCK_REALTIME, &now);
                t->tv_sec = now.tv_sec;
                t->tv_usec = now.tv_nsec / 1000;
                return 0;
            }
            time_t time(time_t *t) {
                struct timespec now;
                clock_gettime(CLOCK_REALTIME, &now);
                if (t) *t = now.tv_sec;
                return now.tv_sec;
            }
            """
        guard (try? Data(text.utf8).write(to: URL(filePath: source))) != nil else { return nil }
        let compiler = Process()
        compiler.executableURL = URL(filePath: "/usr/bin/cc")
        compiler.arguments = ["-shared", "-fPIC", "-o", library, source]
        guard (try? compiler.run()) != nil else { return nil }
        compiler.waitUntilExit()
        return compiler.terminationStatus == 0 ? library : nil
    }()

    @Test func `a clock that was never set refuses a deploy and an approval, and no rollback`() async throws {
        let workshop = try #require(Workshop.current)
        let library = try #require(Self.library, "cc made no library")
        let past: [String: String?] = ["LD_PRELOAD": library]
        try await workshop.commit("Greet again", ["message=again"])
        try await #require(workshop.run("deploy", "production", "--reason", "Second").status == 0)
        let before = try await workshop.standing()
        let refused = try await workshop.run("deploy", "production", "--reason", "In 1970", with: past)
        #expect(refused.status == 78, "\(refused.outcome.everything)")
        #expect(refused.message.hasPrefix("this machine's clock says 1970-01-01T"), "\(refused.message)")
        #expect(refused.last["hint"]?.string?.contains("set the clock") == true)
        let approval = try await workshop.airboss("approve", "production", "--commit", "HEAD", with: past)
        #expect(approval.status == 78 && approval.errors.contains("1970"), "\(approval.everything)")
        #expect(try await workshop.standing() == before)
        let rollback = try await workshop.run("rollback", "production", "--reason", "In 1970", with: past)
        #expect(rollback.status == 0, "\(rollback.outcome.everything)")
        #expect(rollback.outcome.output.contains("is dated wrongly"))
    }
}
