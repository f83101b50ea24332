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
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The addresses of all archives in the apt configuration that serve Debian itself, best first: deb822 (.sources) and
# one-line (.list) files both occur on Debian 12.
mirrors() {
    local etc files
    etc=$(apt-config shell etc Dir::Etc/d) && eval "$etc"
    etc=${etc%/}
    shopt -s nullglob
    files=("$etc"/sources.list.d/*.sources)
    if [ ${#files[@]} -gt 0 ]; then
        # A stanza counts when it is not switched off and has debs; continuation lines start with a blank.
        awk '
            function flush(   n, i, part) {
                if (on && types ~ /(^| )deb( |$)/) {
                    n = split(uris, part, " ")
                    for (i = 1; i <= n; i++) print part[i]
                }
                on = 1; types = ""; uris = ""; field = ""
            }
            BEGIN { on = 1 }
            FNR == 1 { flush() }
            /^[ \t]*$/ { flush(); next }
            /^#/ { next }
            /^[ \t]/ { if (field == "uris") uris = uris " " $0; next }
            {
                field = tolower($0); sub(/:.*/, "", field)
                value = $0; sub(/^[^:]*:[ \t]*/, "", value)
                if (field == "types") types = value
                if (field == "uris") uris = value
                if (field == "enabled" && tolower(value) ~ /^no/) on = 0
            }
            END { flush() }
        ' "${files[@]}"
    fi
    files=("$etc"/sources.list "$etc"/sources.list.d/*.list)
    for file in "${files[@]}"; do
        [ -r "$file" ] || continue
        sed -nE 's/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]].*/\2/p' "$file"
    done
}

# Prints the mirrors once each. The security archive has the suite's name with a suffix only and no Consul.
candidates() {
    if [ -n "${CONSUL_MIRROR:-}" ]; then
        printf '%s\n' "$CONSUL_MIRROR"
    else
        mirrors | sed 's,/*$,,' | grep -v -- '-security$' | awk '!seen[$0]++'
    fi
}

fail() {
    printf 'fetch-consul: %s\n' "$1" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "this system has no apt-get; install Consul by hand and set CONSUL_BIN"
[ -r "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/etc/apt.conf.d "$work"/etc/preferences.d "$work"/etc/sources.list.d "$work"/etc/trusted.gpg.d \
    "$work"/state/lists/partial "$work"/cache/archives/partial "$work"/out "$work"/root
: >"$work"/state/status

# Proxies, certificates and the like stay as configured for this machine: only the state is private.
# Sandbox::User: as root, apt would drop to a user that cannot read the private folder.
private_apt() {
    apt-get -qq \
        -o Dir::State="$work/state" \
        -o Dir::State::status="$work/state/status" \
        -o Dir::Cache="$work/cache" \
        -o Dir::Etc::SourceList="$work/etc/sources.list" \
        -o Dir::Etc::SourceParts="$work/etc/sources.list.d" \
        -o Dir::Etc::Preferences="$work/etc/preferences" \
        -o Dir::Etc::PreferencesParts="$work/etc/preferences.d" \
        -o Dir::Etc::Trusted="$work/etc/trusted.gpg" \
        -o Dir::Etc::TrustedParts="$work/etc/trusted.gpg.d" \
        -o Acquire::Languages=none \
        -o Acquire::Retries=3 \
        -o APT::Sandbox::User="$(id -un)" \
        "$@"
}

found=
while read -r mirror; do
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$work"/etc/sources.list
    if private_apt -o APT::Update::Error-Mode=any update >"$work"/log 2>&1 &&
        (cd "$work"/out && private_apt download consul) >>"$work"/log 2>&1; then
        found=yes
        break
    fi
done < <(candidates)
if [ -z "$found" ]; then
    [ -s "$work"/log ] && tail -n 20 "$work"/log >&2
    fail "no mirror of this machine's apt configuration serves consul from $suite; set CONSUL_MIRROR, or CONSUL_BIN"
fi

dpkg -x "$work"/out/consul_*.deb "$work"/root
"$work"/root/usr/bin/consul version >/dev/null || fail "the fetched consul does not run on this machine"
# Renamed into place, so that a second run at the same time never sees half a file.
mkdir -p "$target"
install -m 755 "$work"/root/usr/bin/consul "$target/.consul.$$"
mv -f "$target/.consul.$$" "$target/consul"
