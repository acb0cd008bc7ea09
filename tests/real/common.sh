# shellcheck shell=bash
# What the scripts of this folder share: processes, packages, and Staleguard. It is sourced by a
# script that has said in `program` what it is called.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
readonly here root

say() { printf '%s: %s\n' "${program:?}" "$*" >&2; }
die() {
    say "error: $*"
    exit 2
}

# --- Processes: all that is started here is ended here, by its process id, last started first. ---

work=
current=
address=
started=()
# The lowest exit status with which the ends of the logs are shown.
logs_from=1

# bounded SECONDS COMMAND...: runs a command that is ended when its time is up (status 124).
bounded() {
    local limit=$1 status=0
    shift
    # In the background, so that a signal to this script is not left waiting for it.
    timeout -k 10 "$limit" "$@" &
    current=$!
    wait "$current" || status=$?
    current=
    return "$status"
}

alive() { kill -0 "$1" 2>/dev/null; }

# shellcheck disable=SC2329 # called by finish, which is called by the trap
# end PID SIGNAL SECONDS: asks a process to end, and kills it if it does not.
end() {
    local pid=$1 left=$(($3 * 10))
    kill -s "$2" "$pid" 2>/dev/null || return 0
    while alive "$pid" && ((left-- > 0)); do sleep 0.1; done
    if alive "$pid"; then
        say "process $pid did not end within $3 s: killing it"
        kill -s KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" 2>/dev/null || true
}

# shellcheck disable=SC2329 # called by the trap
finish() {
    local status=$? log entry
    trap - EXIT
    trap '' INT TERM HUP
    set +e
    if ((status >= logs_from && status < 128)) && [[ -n $work ]]; then
        # LaRS writes one more log, into a file whose name tells the time.
        for log in "$work"/*.log "$work"/lars/logs/*.log; do
            [[ -s $log ]] || continue
            printf -- '--- the end of %s ---\n' "${log#"$work"/}" >&2
            case $log in
            # It tells of every request, and calls each 412 an error.
            "$work"/lars*) grep -vE ' INFO |Failed pre-condition' "$log" | tail -n 40 >&2 ;;
            *) tail -n 40 "$log" >&2 ;;
            esac
        done
        say "failed with status $status: the reason is above these logs"
    fi
    [[ -z $current ]] || end "$current" TERM 15
    # What a script has that is no process of its own, such as containers.
    if declare -F clear_away >/dev/null; then clear_away; fi
    while ((${#started[@]} > 0)); do
        entry=${started[-1]}
        unset 'started[-1]'
        end "${entry#*:}" "${entry%%:*}" 15
    done
    cd /
    [[ -z $work ]] || rm -rf -- "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Debian packages ---

# install_packages PACKAGE...
install_packages() {
    local as_root=()
    command -v apt-get >/dev/null || die "apt-get is missing: install $* by other means"
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null ||
            die "run 'apt-get install $*' as root first, or run this as root"
        as_root=(sudo -n)
    fi
    say "installing $* with apt-get"
    bounded 300 "${as_root[@]}" apt-get update -q >&2 ||
        die "apt-get update failed: is a Debian mirror reachable?"
    bounded 600 "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
        --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >&2 ||
        die "apt-get install $* failed"
}

# --- Small parts ---

# Sets `cache`, the folder for what is built or installed once.
find_cache() {
    if [[ -n ${STALEGUARD_CACHE:-} ]]; then
        cache=$STALEGUARD_CACHE
    elif [[ -n ${XDG_CACHE_HOME:-} ]]; then
        cache=$XDG_CACHE_HOME/staleguard
    elif [[ -n ${HOME:-} ]]; then
        cache=$HOME/.cache/staleguard
    else
        die "no place for what is built: set STALEGUARD_CACHE to a folder outside the checkout"
    fi
    mkdir -p "$cache" ||
        die "cannot make $cache: set STALEGUARD_CACHE to a folder that can be written"
    cache=$(cd "$cache" && pwd)
}

# A loopback port that is free, below those that the system gives to outgoing connections.
free_port() {
    python3 - <<'PYTHON'
import random, socket, sys

for port in random.sample(range(20000, 32000), 200):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    sys.exit()
sys.exit("no free port between 20000 and 32000")
PYTHON
}

need_cargo() {
    command -v cargo >/dev/null || die "cargo is missing: install Rust and put it on PATH"
}

# random_hex BYTES
random_hex() { od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# make_work: sets `work`, a folder of this run's own, with the logs of what it starts
make_work() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/staleguard-$program.XXXXXX")
    work=$(cd "$work" && pwd)
    chmod 711 "$work" # the servers' users must reach their folders in it
}

# start NAME COMMAND...: in the background, with logs of its own
start() {
    local name=$1
    shift
    # They may be read before the other shell has made them.
    : >"$work/$name.log"
    : >"$work/$name.err.log"
    (cd "$work" && exec "$@") >>"$work/$name.log" 2>>"$work/$name.err.log" &
    started+=("TERM:$!")
}

# address_of NAME: waits until the process started last says where it listens; sets `address`
address_of() {
    local line tries pid=${started[-1]#*:}
    for ((tries = 100; ; tries--)); do
        # Whole lines only; the admin's own listener is not the one that is looked for.
        while read -r line; do
            [[ $line != *[Aa]dmin* ]] || continue
            if [[ $line =~ listening\ on\ (https?://)?(127\.0\.0\.1:[0-9]+) ]]; then
                # shellcheck disable=SC2034 # read by the scripts
                address=${BASH_REMATCH[1]:-http://}${BASH_REMATCH[2]}
                return
            fi
        done < <(cat "$work/$1.log" "$work/$1.err.log")
        alive "$pid" || die "$1 ended before it listened"
        ((tries > 0)) || die "$1 did not print 'listening on 127.0.0.1:PORT' within 10 s"
        sleep 0.1
    done
}

# --- Staleguard ---

# build_staleguard [ARGUMENT...]: builds it, and what else the arguments to cargo say; sets
# `target`, the folder of the programs
# shellcheck disable=SC2120 # the arguments are for those who have some
build_staleguard() {
    need_cargo
    say "building Staleguard"
    cd "$root"
    target=$(cargo metadata --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])') ||
        die "cargo finds no package in $root"
    target=$target/release
    bounded 1800 cargo build --release --locked --package staleguard --bin staleguard "$@" ||
        die "Staleguard was not built"
}

# start_staleguard NAME UPSTREAM [ARGUMENT...]: sets `address`
start_staleguard() {
    local name=$1 upstream=$2
    shift 2
    start "$name" env NO_COLOR=1 "$target/staleguard" run --upstream "$upstream" \
        --listen 127.0.0.1:0 --admin 127.0.0.1:0 "$@"
    address_of "$name"
}
