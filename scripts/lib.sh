# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: Airboss contributors
# Shared by the scripts beside it; sourced, not run.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Installs the Debian packages named that are missing: as root, or through sudo.
need_packages() {
    local missing=() package
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        printf 'This is no Debian. Install what these Debian packages hold, if it is not there yet: %s\n' "$*" >&2
        return
    fi
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "missing packages: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Packages without which something is only skipped, and says so: failing to install them is no error.
want_packages() {
    (need_packages "$@") || printf 'not installed, what needs them is skipped: %s\n' "$*" >&2
}

need_swift() {
    local place
    if ! command -v swift >/dev/null; then
        for place in /opt/swift/usr/bin /usr/local/swift/usr/bin "$HOME/.local/share/swiftly/bin"; do
            [ -x "$place/swift" ] && PATH="$place:$PATH" && export PATH && break
        done
    fi
    command -v swift >/dev/null || fail "Swift is not installed. Install 6.2 or later: https://www.swift.org/install/linux/"
    local version
    version="$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -1)"
    case "$version" in
    6.[2-9] | 6.[1-9][0-9] | [7-9].*) ;;
    *) fail "Swift 6.2 or later is needed, found ${version:-an unknown version}" ;;
    esac
}

build_packages=(git ca-certificates libcurl4-openssl-dev libgit2-dev libpq-dev libsqlite3-dev pkg-config libc6-dev)
simulator_packages=(util-linux tar gzip tzdata)

# The name of the released binary for this machine: it is linked with the system's own libraries.
release_asset() {
    local system version
    system="$(sed -n 's/^ID=//p' /etc/os-release | tr -d '"')"
    version="$(sed -n 's/^VERSION_ID=//p' /etc/os-release | tr -d '"')"
    printf 'airboss-%s%s-%s' "$system" "$version" "$(uname -m)"
}
