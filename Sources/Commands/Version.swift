// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// Airboss's own version.
enum Version {
    static let current = "0.1.0"
}
