// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import CoreTestSupport
import Model
import Stages
import Testing

/// Whatever is found: what is counted is good, and of as many people as are needed.
@Suite struct ApprovalProperties {
    /// A person with an address that signs and an account that reviews, who may be written down as one or not.
    private struct Person {
        var number: Int
        var isWrittenDown: Bool
        var address: String { "p\(number)@example.com" }
        var account: String { "account\(number)" }
        var names: [String] { isWrittenDown ? [account, address] : [] }
    }

    @Test func `nobody counts twice, nor who wrote it, nor what is no longer good`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        var (enough, refused) = (0, 0)
        for round in 1...20_000 {
            let people = (0..<4).map { Person(number: $0, isWrittenDown: random.oneIn(2)) }
            var owners: [String: Int] = [:]
            var bad: Set<String> = []
            var found: [FoundApproval] = []
            for index in 0..<Int(random.next() % 7) {
                let person = people[Int(random.next() % 4)]
                let isSigned = random.oneIn(2)
                var one = Evidence.signature(isSigned ? person.address : person.account, names: person.names) {
                    $0.nonce = "nonce-\(index)"
                    $0.createdAt = Sample.start - .seconds(Int(random.next() % 5_000))
                }
                // A signer whom allowed_signers does not know could not have been verified.
                if isSigned, one.names.isEmpty { one.names = [person.address] }
                one.kind = isSigned ? .ssh : random.oneIn(2) ? .review : .environment
                one.key = isSigned ? "SHA256:\(person.number)" : "github:\(person.account)"
                one.source = "source \(index)"
                owners["nonce-\(index)"] = person.number
                let fault = random.next() % 12
                switch fault {
                case 0: one.approval?.expiresAt = Sample.start
                case 1: one.approval?.commit = Sample.commit("e").id
                case 2: one.spentBy = "01OTHER"
                case 3: one.problem = "it was dismissed"
                case 4: one.approval?.app = "other"
                case 5: one.approval?.createdAt = Sample.start - .seconds(90_000)
                default: break
                }
                if fault <= 5 { bad.insert("nonce-\(index)") }
                found.append(one)
            }
            var commit = Sample.commit("c")
            let author = people[Int(random.next() % 4)]
            commit.author = Commit.Person(name: "Somebody", email: author.address)
            let needed = 1 + Int(random.next() % 3)
            let kinds: [ApprovalKind] = random.oneIn(4) ? [.ssh] : ApprovalKind.allCases
            let gate = ApprovalGate(
                ApprovalRule(needed: needed, kinds: kinds, lifetime: .seconds(86_400)), for: Sample.request())
            let verdict = gate.judge(
                found, of: commit, opener: author.account, authorNames: author.names, at: Sample.start)
            guard case .enough(let counted) = verdict else {
                refused += 1
                // As many people by one way alone would have been enough.
                for ways in [[ApprovalKind.ssh], [.review, .environment]] where ways.allSatisfy(kinds.contains) {
                    let good = found.filter { one in
                        let nonce = one.approval?.nonce ?? ""
                        return ways.contains(one.kind) && !bad.contains(nonce) && owners[nonce] != author.number
                    }
                    let able = Set(good.compactMap { owners[$0.approval?.nonce ?? ""] })
                    #expect(able.count < needed, "seed \(seed), round \(round): \(verdict)")
                }
                continue
            }
            enough += 1
            let who = counted.compactMap { owners[$0.approval?.nonce ?? ""] }
            #expect(counted.count == needed, "seed \(seed), round \(round)")
            #expect(Set(who).count == needed, "seed \(seed), round \(round): \(counted)")
            #expect(!who.contains(author.number), "seed \(seed), round \(round): \(counted)")
            #expect(bad.isDisjoint(with: counted.compactMap(\.approval?.nonce)), "seed \(seed), round \(round)")
            #expect(counted.allSatisfy { kinds.contains($0.kind) }, "seed \(seed), round \(round)")
        }
        print("approvals: seed \(seed), 20000 rounds, \(enough) enough, \(refused) not")
        #expect(enough > 1_000 && refused > 1_000)
    }
}
