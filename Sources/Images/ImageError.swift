// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

package import Model

/// Why an image could not be assembled, found or pushed: a code, what happened and why, and what to do next.
package struct ImageError: Error, Hashable, Sendable {
    package enum Code: String, Codable, Sendable, CaseIterable {
        /// The description of the layers contradicts itself.
        case invalidLayers
        /// `from` names nothing in the commit.
        case copySourceMissing
        /// `to` leaves the image's root.
        case copyTargetOutsideRoot
        /// Two copies need one path as a file and as a folder.
        case copyConflict
        /// A path of the commit that an image must not hold (`..`, an empty name, a whiteout name).
        case unsafePath
        /// A Git LFS pointer where the file itself should be.
        case lfsPointer
        /// A submodule, whose files are in another repository.
        case submodule
        /// The program to start is not in the image.
        case entrypointMissing
        /// The program to start is not executable.
        case entrypointNotExecutable
        /// Neither entrypoint nor cmd: there is nothing to start.
        case noCommand
        /// The base image is for another operating system or architecture.
        case platformMismatch
        /// The commit's files could not be read as announced.
        case sourceFailed
        /// A local file could not be written or read.
        case fileFailed
        /// The image name can't be used with a registry.
        case invalidReference
        /// The registry does not have the image, or a part of it.
        case notFound
        /// The registry refuses the credentials, or wants some.
        case unauthorized
        /// The registry does not answer, or answers that it can't now.
        case registryUnavailable
        /// What the registry sent is no manifest or config, or contradicts itself.
        case malformedManifest
        /// A manifest of a kind that can't be run or extended.
        case unsupportedManifest
        /// Bytes that don't have the digest they were asked for by.
        case digestMismatch
        /// More bytes than the named limit allows.
        case tooLarge
        /// The registry refuses what was pushed.
        case pushRefused
    }

    package var code: Code
    /// What happened, in one sentence without a full stop at its end.
    package var message: String
    /// What a person can do about it; empty where nothing sensible can be said.
    package var hint: String

    package init(_ code: Code, _ message: String, hint: String = "") {
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// The same as the error that ends a command: a fault of the description is one of the configuration, a registry
    /// that does not answer is unavailable, and everything else refuses the deploy.
    package var asAirbossError: AirbossError {
        let kind: AirbossError.Code =
            switch code {
            case .invalidLayers, .copySourceMissing, .copyTargetOutsideRoot, .copyConflict, .invalidReference,
                .entrypointMissing, .entrypointNotExecutable, .noCommand, .platformMismatch:
                .configuration
            case .registryUnavailable, .fileFailed: .unavailable
            case .unsafePath, .lfsPointer, .submodule, .sourceFailed, .notFound, .unauthorized, .malformedManifest,
                .unsupportedManifest, .digestMismatch, .tooLarge, .pushRefused:
                .refused
            }
        return AirbossError(kind, message, hint: hint)
    }
}

extension ImageError: CustomStringConvertible {
    package var description: String {
        message + (hint.isEmpty ? "" : "\n  " + hint)
    }
}
