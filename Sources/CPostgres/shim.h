// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors
#pragma once
#include <libpq-fe.h>

// Swift does not see macros that are character constants.

// The five characters of the standard's error code; null where the server did not say one.
static inline const char *airboss_pg_state(const PGresult *result) {
    return PQresultErrorField(result, PG_DIAG_SQLSTATE);
}

// What happened, without the detail, which may hold values.
static inline const char *airboss_pg_message(const PGresult *result) {
    return PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
}
