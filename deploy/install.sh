#!/usr/bin/env bash
# Puts everything that Portbook's demo, tests and bench need on this machine, and nothing that is there already:
# .venv/ from the lock file, HAProxy, Consul, a Docker engine. Run it as often as you like.
#
# As root on Debian it installs what is missing; otherwise it prints the one command to run and exits with 1.
# Nothing is started here: see deploy/engine.py for that.
#
#   PYTHON=/path/to/python   builds .venv with this interpreter (3.11 or newer)
#   CONSUL_BIN=/path         uses this Consul and fetches none
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps haproxy and dockerd, outside an ordinary user's PATH

lock=requirements-test.txt
steps=5
tools=.tools
log=$tools/install.log
mkdir -p "$tools"

# Two runs at once (make test beside make demo) take turns; the second finds everything done. Descriptor 9 is closed
# for what is run below, so that a daemon that a package starts does not hold the lock for ever.
exec 9>"$tools/install.lock"
if ! flock -n 9; then
    echo "another install is running here: waiting for it"
    flock 9
fi
: >"$log"

say() { printf '%s\n' "$*"; }

die() {
    say "install: $1" >&2
    exit 1
}

seconds() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", to - from }'; }

# step NUMBER TITLE COMMAND...: runs the command with its output in the log, and shows what is done and how long it
# took. The command prints its one-line summary to descriptor 3.
step() {
    local number=$1 title=$2 began=$EPOCHREALTIME ticker='' rc=0 summary
    shift 2
    if [ -t 1 ]; then
        (while printf '\r[%s/%s] %-16s … %s ' "$number" "$steps" "$title" "$(seconds "$began")"; do sleep 0.5; done) 9>&- &
        ticker=$!
    fi
    summary=$(mktemp)
    # In a subshell with its own -e: inside a condition it would be switched off.
    set +e
    (
        set -e
        "$@"
    ) >>"$log" 2>&1 3>"$summary" 9>&- </dev/null
    rc=$?
    set -e
    if [ -n "$ticker" ]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
        printf '\r\033[K'
    fi
    printf '[%s/%s] %-16s %s (%s)\n' "$number" "$steps" "$title" "$(cat "$summary")" "$(seconds "$began")"
    rm -f "$summary"
    if [ "$rc" -ne 0 ]; then
        tail -n 25 "$log" >&2
        die "step '$title' failed; the whole output is in $log"
    fi
}

# --- what is there -------------------------------------------------------------------------------------------------

python_fits() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        python_fits "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or newer with venv"
        say "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13 python3.14 python3.15; do
        if python_fits "$candidate"; then
            say "$candidate"
            return
        fi
    done
}

haproxy_fits() {
    local version
    version=$(haproxy -v 2>/dev/null | sed -nE '1s/.*version ([0-9]+\.[0-9]+).*/\1/p')
    [ -n "$version" ] && [ "$(printf '2.6\n%s\n' "$version" | sort -V | head -n 1)" = 2.6 ]
}

engine_answers() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }

# The demo's image holds one file: a busybox that needs no libraries.
static_busybox() {
    local path
    path=$(command -v busybox) && busybox --list 2>/dev/null | grep -x httpd >/dev/null && ! ldd "$path" >/dev/null 2>&1
}

compose_there() { docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1; }

# Prints the names of the Debian packages that are missing, on one line.
missing_packages() {
    local names=()
    [ -n "$(find_python)" ] || names+=(python3 python3-venv)
    haproxy_fits || names+=(haproxy)
    if ! engine_answers; then
        command -v dockerd >/dev/null || names+=(docker.io)
        command -v iptables >/dev/null || names+=(iptables)
    fi
    static_busybox || names+=(busybox-static)
    compose_there || names+=(docker-compose)
    command -v ip >/dev/null || names+=(iproute2)
    command -v openssl >/dev/null || names+=(openssl)
    command -v curl >/dev/null || names+=(curl)
    command -v wrk >/dev/null || names+=(wrk) # the load of make bench
    command -v patchelf >/dev/null || names+=(patchelf) # makes newer HAProxys run here
    say "${names[*]}"
}

# --- the steps -----------------------------------------------------------------------------------------------------

debian_packages() {
    local packages=("$@")
    if [ ${#packages[@]} -eq 0 ]; then
        say "all there" >&3
        return
    fi
    say "installing ${packages[*]}" >&3
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install --no-install-recommends "${packages[@]}"
}

virtual_environment() {
    local python=$1 stamp=.venv/.portbook-installed wanted
    # What .venv was made from: the lock, the project's metadata, and the folder, since scripts hold absolute paths.
    wanted=$(cat "$lock" setup.cfg setup.py <(pwd) | sha256sum)
    if [ -x .venv/bin/python ] && .venv/bin/python -c '' && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        say ".venv is up to date" >&3
        return
    fi
    if ! { [ -x .venv/bin/python ] && python_fits .venv/bin/python && .venv/bin/python -m pip --version; }; then
        rm -rf .venv
        "$python" -m venv .venv
    fi
    rm -f "$stamp"
    .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r "$lock"
    # The locked setuptools builds the project itself, so that no unlocked one is fetched for it.
    .venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --use-pep517 -e .
    .venv/bin/python -m pip check
    printf '%s\n' "$wanted" >"$stamp"
    say ".venv from $lock with $(.venv/bin/python --version)" >&3
}

haproxy_there() {
    haproxy_fits || die "HAProxy 2.6 or newer is needed; found: $(haproxy -v 2>&1 | head -n 1)"
    haproxy -v | sed -nE '1s/^(.*version [^ ]+).*/\1/p' >&3
}

consul_there() {
    local binary where
    if [ -n "${CONSUL_BIN:-}" ]; then
        binary=$CONSUL_BIN where="\$CONSUL_BIN"
    elif binary=$(command -v consul); then
        where=$binary
    else
        binary=$tools/consul where=$binary
        [ -x "$binary" ] || bash deploy/fetch-consul.sh "$tools"
    fi
    "$binary" version
    say "$("$binary" version | head -n 1) at $where" >&3
}

engine_there() {
    if engine_answers; then
        say "an engine answers: $(docker info --format '{{.ServerVersion}}')" >&3
    else
        command -v dockerd >/dev/null || die "no Docker engine answers, and there is no dockerd to start"
        say "$(dockerd --version | sed 's/,.*//') can be started" >&3
    fi
}

missing=$(missing_packages)
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || die "missing here: $missing (Debian's names). Install them and run this again."
    if [ "$(id -u)" -ne 0 ]; then
        say "install: missing here, and only root can install it. Run this, then try again:" >&2
        say "    sudo apt-get update && sudo apt-get install --no-install-recommends $missing" >&2
        exit 1
    fi
fi

# shellcheck disable=SC2086 # a list of package names without blanks
step 1 "Debian packages" debian_packages $missing
python=$(find_python)
[ -n "$python" ] || die "no Python 3.11 or newer with venv was found"
step 2 "Python" virtual_environment "$python"
step 3 "HAProxy" haproxy_there
step 4 "Consul" consul_there
step 5 "Docker engine" engine_there
