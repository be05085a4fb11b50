// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors
#pragma once
#include <git2.h>

/// Says that we can read repositories with these extensions, which libgit2 1.5 refuses though they change nothing in
/// what is read here (git_libgit2_opts takes variable arguments, which Swift can't pass).
static inline int airboss_git_accept_extensions(void) {
    const char *extensions[] = {"worktreeconfig", "partialclone", "preciousobjects"};
    return git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, sizeof extensions / sizeof extensions[0]);
}
