#!/usr/bin/env bash
# Fetches Debian's Consul into a folder, without root and without touching this system's package state.
#
# Consul is in Debian 11 (bullseye) and in no later release; its one binary needs only libc. A private apt state asks
# the mirror that this machine's apt configuration names already, and apt checks the signatures with Debian's own
# keyring, which holds bullseye's keys as well.
#
#   fetch-consul.sh FOLDER        leaves FOLDER/consul
#   CONSUL_MIRROR=URI             asks this mirror instead
#   CONSUL_SUITE=bullseye         takes it from this suite
set -euo pipefail

target=${1:?usage: fetch-consul.sh FOLDER}
suite=${CONSUL_SUITE:-bullseye}

fail() {
    printf 'fetch-consul: %s; or set CONSUL_BIN\n' "$1" >&2
    exit 1
}

# shellcheck source=deploy/debian.sh
. "$(dirname "$0")/debian.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
open_state "$work"
from_a_mirror "${CONSUL_MIRROR:-}" "$suite" private_apt download consul ||
    fail "no mirror of this machine's apt configuration serves consul from $suite; set CONSUL_MIRROR"

mkdir -p "$work"/root
dpkg -x "$work"/out/consul_*.deb "$work"/root
"$work"/root/usr/bin/consul version >/dev/null || fail "the fetched consul does not run on this machine"
# Renamed into place, so that a second run at the same time never sees half a file.
mkdir -p "$target"
install -m 755 "$work"/root/usr/bin/consul "$target/.consul.$$"
mv -f "$target/.consul.$$" "$target/consul"
