#!/usr/bin/env bash
# Fetches a newer HAProxy than this system's into a folder, with the libraries that it needs, from a Debian suite. Without
# root, and without touching this system's package state (see debian.sh). It runs where it was fetched to: the folder's
# path is written into it.
#
#   fetch-haproxy.sh VERSION FOLDER       3.0 (trixie), 3.2 (sid) or 3.4 (experimental); leaves FOLDER/haproxy
#   HAPROXY_MIRROR=URI                    asks this mirror instead
set -euo pipefail

version=${1:?usage: fetch-haproxy.sh VERSION FOLDER}
target=${2:?usage: fetch-haproxy.sh VERSION FOLDER}

fail() {
    printf 'fetch-haproxy: %s\n' "$1" >&2
    exit 1
}

# shellcheck source=deploy/debian.sh
. "$(dirname "$0")/debian.sh"

case $version in
    3.0) suites=trixie ;;
    3.2) suites=sid ;;
    3.4) suites="sid experimental" ;;
    *) fail "no suite is known to have HAProxy $version" ;;
esac
command -v patchelf >/dev/null || fail "patchelf is missing: apt-get install patchelf"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
open_state "$work"
# Debian's signatures of suites that come later than this system are checked with what its keyring has of them.
from_a_mirror "${HAPROXY_MIRROR:-}" "$suites" \
    private_apt -y -d -t "${suites##* }" --no-install-recommends install haproxy ||
    fail "no mirror of this machine's apt configuration serves haproxy from $suites; set HAPROXY_MIRROR"

mkdir -p "$work"/root "$work"/made/lib
for package in "$work"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work"/root
done
install -m 755 "$work"/root/usr/sbin/haproxy "$work"/made/haproxy
# What a link points to is copied under the link's name; one that points out of the packages is not needed.
find "$work"/root \( -name '*.so' -o -name '*.so.[0-9]*' \) -not -path '*/gconv/*' | while read -r library; do
    file=$work/made/lib/$(basename "$library")
    [ -e "$file" ] || [ ! -f "$library" ] || cp -L "$library" "$file"
done
loader=$(patchelf --print-interpreter "$work"/made/haproxy)
mkdir -p "$(dirname "$target")"
target=$(cd "$(dirname "$target")" && pwd)/$(basename "$target")
patchelf --set-interpreter "$target/lib/$(basename "$loader")" --force-rpath --set-rpath "$target/lib" "$work"/made/haproxy
rm -rf "$target"
mv "$work"/made "$target"
# It runs only where it has been put. One of another version must not stay there: make would take it the next time.
# (All of its answer is read: a program whose reader has gone before its last line fails.)
found=$("$target"/haproxy -v) || found="one that does not run"
case $found in
*"version $version."*) ;;
*)
    rm -rf "$target"
    fail "$suites has another HAProxy than $version by now: ${found%%$'\n'*}"
    ;;
esac
