// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import GitHistory
internal import Images
internal import Model
internal import Ports

/// Images of one app, in the registry its machines pull from.
struct LiveImages: ImagePort {
    let builder: ImageBuilder
    /// Nil where nothing is built from a commit.
    let repository: GitRepository?
    let layers: ImageLayers?
    let registryHost: String
    let app: AppName

    func answer(_ task: ImageTask) async -> Answer {
        do {
            switch task {
            // What cannot be pulled whole is refused now, not by the machines one by one.
            case .resolve(let text), .provePullable(let text):
                let image = try await builder.registry.provePullable(try reference(text))
                return .image(image: BuiltImage(reference: image.reference.description, digest: image.digest))
            case .build(let commit, let tag):
                return try await build(commit, tag)
            case .assemble(let commit):
                return try await assemble(commit)
            case .copy(let text):
                return try await copy(try reference(text))
            }
        } catch let error as ImageError {
            let unavailable = error.code == .registryUnavailable
            return .failed(failure: Failure(unavailable ? .unavailable : .refused, error.message, hint: error.hint))
        } catch let error as GitError {
            return .failed(failure: Failure(.refused, error.message, hint: error.hint))
        } catch is CancellationError {
            return .failed(failure: Failure(.cancelled, "the image work was cancelled"))
        } catch {
            return .failed(failure: Failure(.refused, "the image could not be made: \(error)"))
        }
    }

    private func reference(_ text: String) throws -> ImageReference {
        guard let reference = ImageReference(parsing: text) else {
            throw ImageError(.invalidReference, "“\(text)” is not an image name")
        }
        return reference
    }

    /// Brings an image of another app into this one's repository, so that this app's way back hangs on nobody else. One
    /// of another registry is taken as it is.
    private func copy(_ reference: ImageReference) async throws -> Answer {
        guard reference.registry == registryHost, reference.repository != app.rawValue else {
            let image = try await builder.registry.provePullable(reference)
            return .image(image: BuiltImage(reference: image.reference.description, digest: image.digest))
        }
        let image = try await builder.copy(reference, to: app.rawValue)
        return .image(
            image: BuiltImage(
                reference: image.reference.description, digest: image.digest, uploadedBytes: image.uploadedBytes,
                skippedBytes: image.skippedBytes))
    }

    /// The image that a build would push, by the digest it would have.
    private func assemble(_ commit: CommitID) async throws -> Answer {
        guard let repository, let layers else {
            throw ImageError(.invalidLayers, "the pipeline says nothing of layers to build")
        }
        let image = try await builder.assemble(
            source: CommitTree(repository: repository, commit: commit), layers: layers,
            created: try await repository.commit(commit).committedAt)
        let target = ImageReference(registry: registryHost, repository: app.rawValue)
        return .image(
            image: BuiltImage(reference: target.pinned(to: image.digest).description, digest: image.digest))
    }

    private func build(_ commit: CommitID, _ tag: String) async throws -> Answer {
        guard let repository, let layers else {
            throw ImageError(.invalidLayers, "the pipeline says nothing of layers to build")
        }
        let created = try await repository.commit(commit).committedAt
        let target = ImageReference(registry: registryHost, repository: app.rawValue, tag: tag)
        let image = try await builder.buildAndPush(
            source: CommitTree(repository: repository, commit: commit), layers: layers, created: created,
            target: target)
        // Machines are told the digest: a tag could be moved under them.
        return .image(
            image: BuiltImage(
                reference: target.pinned(to: image.digest).description, digest: image.digest,
                uploadedBytes: image.uploadedBytes, skippedBytes: image.skippedBytes))
    }
}
