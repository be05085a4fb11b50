// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import FlyPlatform
internal import Journals
internal import Model
internal import Ports

/// Other apps, by the same state store and the same token.
struct LiveElsewhere: ElsewherePort {
    let store: any StateStore
    let client: FlyClient

    func answer(about app: AppName) async -> Answer {
        let history: ReleaseHistory
        do throws(StateError) {
            history = try await store.history(app, limit: LiveLedger.maxReleases)
        } catch {
            return .failed(failure: Failure(.unavailable, error.message, hint: error.hint))
        }
        do throws(FlyError) {
            let machines = try await client.machines(app)
            return .elsewhere(
                standing: ElsewhereStanding(
                    isKnown: !history.states.isEmpty, release: history.current?.number,
                    digest: history.current?.digest,
                    // Of what others run nothing is kept but which image.
                    machines: machines.filter(\.isManaged).map {
                        ElsewhereStanding.Machine(id: $0.id, state: $0.state, digest: $0.imageDigest)
                    }))
        } catch {
            return .failed(failure: Failure(error))
        }
    }
}
