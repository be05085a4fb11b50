// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import Rehearsal

/// Searches to the end, bit by bit, for other tests want their turn.
func search(_ configuration: ModelCheck.Configuration) async -> ModelCheckResult {
    var search = ModelCheck.Search(configuration)
    while true {
        if let result = search.advance(by: 50) { return result }
        await Task.yield()
    }
}
