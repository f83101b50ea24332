# shellcheck shell=bash
# Packages of other Debian suites, without root and without touching this system's package state: a private apt state
# that asks the mirror which this machine's apt configuration names already; apt checks the signatures with Debian's own
# keyring. Sourced by the fetch-*.sh.

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

# Prints the mirrors once each, or the one that is given. The security archive has the suite's name with a suffix only.
candidates() {
    if [ -n "$1" ]; then
        printf '%s\n' "$1"
    else
        mirrors | sed 's,/*$,,' | grep -v -- '-security$' | awk '!seen[$0]++'
    fi
}

# open_state FOLDER: a private apt state in a folder of one's own.
open_state() {
    state=$1
    command -v apt-get >/dev/null || fail "this system has no apt-get"
    [ -r "$keyring" ] || fail "$keyring is missing: apt-get install debian-archive-keyring"
    mkdir -p "$state"/etc/apt.conf.d "$state"/etc/preferences.d "$state"/etc/sources.list.d "$state"/etc/trusted.gpg.d \
        "$state"/state/lists/partial "$state"/cache/archives/partial "$state"/out
    : >"$state"/state/status
}

# Proxies, certificates and the like stay as configured for this machine: only the state is private.
# Sandbox::User: as root, apt would drop to a user that cannot read the private folder.
private_apt() {
    apt-get -qq \
        -o Dir::State="$state/state" \
        -o Dir::State::status="$state/state/status" \
        -o Dir::Cache="$state/cache" \
        -o Dir::Etc::SourceList="$state/etc/sources.list" \
        -o Dir::Etc::SourceParts="$state/etc/sources.list.d" \
        -o Dir::Etc::Preferences="$state/etc/preferences" \
        -o Dir::Etc::PreferencesParts="$state/etc/preferences.d" \
        -o Dir::Etc::Trusted="$state/etc/trusted.gpg" \
        -o Dir::Etc::TrustedParts="$state/etc/trusted.gpg.d" \
        -o Acquire::Languages=none \
        -o Acquire::Retries=3 \
        -o APT::Sandbox::User="$(id -un)" \
        "$@"
}

# from_a_mirror MIRROR "SUITE..." COMMAND...: has the packages of these suites listed and runs the command, at one mirror
# after the other until it works. MIRROR may be empty.
from_a_mirror() {
    local only=$1 suites=$2 mirror suite
    shift 2
    while read -r mirror; do
        for suite in $suites; do
            printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite"
        done >"$state"/etc/sources.list
        if private_apt -o APT::Update::Error-Mode=any update >"$state"/log 2>&1 &&
            (cd "$state"/out && "$@") >>"$state"/log 2>&1; then
            return
        fi
    done < <(candidates "$only")
    [ -s "$state"/log ] && tail -n 20 "$state"/log >&2
    return 1
}
