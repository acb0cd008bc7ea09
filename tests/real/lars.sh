# shellcheck shell=bash
# What the scripts share that need a real LRS: processes, packages, LaRS on PostgreSQL, and
# Staleguard in front. It is sourced by a script that has said in `program` what it is called.
set -euo pipefail

readonly crate=xapi-rs version=0.1.22

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
            if [[ $line =~ listening\ on\ (http://)?(127\.0\.0\.1:[0-9]+) ]]; then
                # shellcheck disable=SC2034 # read by the scripts
                address=http://${BASH_REMATCH[2]}
                return
            fi
        done < <(cat "$work/$1.log" "$work/$1.err.log")
        alive "$pid" || die "$1 ended before it listened"
        ((tries > 0)) || die "$1 did not print 'listening on 127.0.0.1:PORT' within 10 s"
        sleep 0.1
    done
}

# --- LaRS ---

# Sets `lars_bin`, LaRS's program, and builds it if it is not there.
build_lars() {
    find_cache
    lars_root=$cache/lars-$version
    lars_bin=$lars_root/bin/$crate
    [[ -x $lars_bin ]] && return
    need_cargo
    command -v flock >/dev/null || die "flock is missing: install util-linux"
    local lock status=0
    exec {lock}>"$cache/lars-$version.lock"
    if ! flock -n "$lock"; then
        say "waiting for another run that builds LaRS"
        bounded 3600 flock "$lock" || die "the other build of LaRS did not end within an hour"
    fi
    if [[ ! -x $lars_bin ]]; then
        # LaRS is linked with OpenSSL.
        pkg-config --exists openssl 2>/dev/null || install_packages pkg-config libssl-dev
        say "building LaRS ($crate $version) into $lars_root: about 7 minutes"
        # The target folder is kept until the build is done: a build that was stopped goes on there.
        # The lock is not passed on, so that nothing that outlives the build can hold it.
        (
            cd "$root"
            exec {lock}>&-
            unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
            exec timeout -k 10 3600 nice -n 10 cargo install "$crate" --version "$version" \
                --locked --root "$lars_root" --target-dir "$lars_root-target"
        ) >"$cache/lars-$version.log" 2>&1 &
        current=$!
        wait "$current" || status=$?
        current=
        if ((status != 0)) || [[ ! -x $lars_bin ]]; then
            tail -n 40 "$cache/lars-$version.log" >&2
            die "LaRS was not built (status $status). The build needs the crate registry, a C" \
                "compiler and OpenSSL's headers; the whole log is $cache/lars-$version.log"
        fi
        rm -rf -- "$lars_root-target"
    fi
    exec {lock}>&-
}

# Prints the folder of the newest PostgreSQL server there is, if any.
find_postgres() {
    local folder
    while read -r folder; do
        if [[ -x $folder/initdb && -x $folder/postgres ]]; then
            printf '%s\n' "$folder"
            return
        fi
    done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV)
}

# Sets `pg_bin`, the folder of PostgreSQL's programs, and installs them if there are none.
need_postgres() {
    pg_bin=$(find_postgres)
    [[ -z $pg_bin ]] || return 0
    # The package may start a server of its own, which is left alone.
    install_packages postgresql
    pg_bin=$(find_postgres)
    [[ -n $pg_bin ]] || die "no server in /usr/lib/postgresql/*/bin after installing postgresql"
}

# Starts PostgreSQL with a fresh database, and LaRS on it; sets `lars_url`.
start_lars() {
    local pg as_postgres password pg_port pg_pid lars lars_port lars_pid tries
    say "starting PostgreSQL ($pg_bin)"
    pg=$work/postgresql
    mkdir "$pg"
    as_postgres=()
    if ((EUID == 0)); then
        # PostgreSQL does not run as root.
        id postgres >/dev/null 2>&1 ||
            die "there is no user 'postgres': install Debian's postgresql"
        as_postgres=(setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups)
    fi
    password=$(random_hex 16)
    (umask 077 && printf '%s\n' "$password" >"$pg/password")
    ((EUID != 0)) || chown -R postgres: "$pg"
    # A folder that the server's user may enter: it would warn of the one that this script runs in.
    cd "$work"
    bounded 120 "${as_postgres[@]}" "$pg_bin/initdb" -D "$pg/data" -U lars -A scram-sha-256 \
        --pwfile="$pg/password" -E UTF8 --locale=C.UTF-8 --no-sync >"$work/initdb.log" 2>&1 ||
        die "initdb failed; can the user 'postgres' enter $work? If not, set TMPDIR to where it can"
    rm "$work/initdb.log"
    pg_port=$(free_port)
    # No Unix socket: the path of one may be no longer than 107 bytes, and none is needed.
    "${as_postgres[@]}" "$pg_bin/postgres" -D "$pg/data" -h 127.0.0.1 -p "$pg_port" \
        -c unix_socket_directories='' >"$work/postgresql.log" 2>&1 &
    pg_pid=$!
    started+=("INT:$pg_pid") # a fast shutdown: it does not wait for its clients
    for ((tries = 300; ; tries--)); do
        alive "$pg_pid" || die "PostgreSQL ended before it answered"
        ! "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port" || break
        ((tries > 0)) || die "PostgreSQL did not answer within 30 s"
        sleep 0.1
    done
    PGPASSWORD=$password bounded 30 "$pg_bin/createdb" -w -h 127.0.0.1 -p "$pg_port" -U lars xapi ||
        die "the database was not made"

    say "starting LaRS"
    lars=$work/lars
    mkdir -p "$lars/logs" "$lars/static"
    lars_port=$(free_port)
    lars_url=http://127.0.0.1:$lars_port
    # Without a secret key Rocket refuses to start in its release profile.
    cat >"$lars/Rocket.toml" <<TOML
[default]
address = "127.0.0.1"
port = $lars_port
secret_key = "$(random_hex 32)"
TOML
    # LaRS asks for RUST_LOG too, and ends without it.
    cat >"$lars/.env" <<ENV
DB_SERVER_URL="postgresql://lars:$password@127.0.0.1:$pg_port"
DB_NAME="xapi"
DB_MAX_CONNECTIONS=8
DB_MIN_CONNECTIONS=8
DB_ACQUIRE_TIMEOUT_SECS=8
DB_IDLE_TIMEOUT_SECS=8
DB_MAX_LIFETIME_SECS=8
DATABASE_URL="postgresql://lars:$password@127.0.0.1:$pg_port/xapi"
DB_STATEMENTS_PAGE_LEN=20
LRS_HOST="127.0.0.1"
LRS_PORT=$lars_port
LRS_AUTHORITY_IFI="lars@staleguard.example"
LRS_ROOT_EMAIL="lars@staleguard.example"
LRS_MODE="legacy"
LRS_USER_CACHE_LEN=100
LRS_EXTERNAL_URL="$lars_url/"
EXT_DEFAULT_LANGUAGE="en"
JWS_STRICT=false
RUST_LOG="error"
ENV
    # The environment goes before the .env and before Rocket.toml, so nothing of it is passed on but
    # what is needed. LaRS looks for both files in the folder it is started in.
    (
        cd "$lars"
        exec env -i PATH="$PATH" HOME="${HOME:-/}" NO_COLOR=1 CARGO_MANIFEST_DIR="$lars" "$lars_bin"
    ) >"$work/lars.log" 2>&1 &
    lars_pid=$!
    started+=("TERM:$lars_pid")
    for ((tries = 120; ; tries--)); do
        alive "$lars_pid" || die "LaRS ended before it answered"
        ! python3 - "$lars_url/about" 2>/dev/null <<'PYTHON' || break
import sys, urllib.request

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
sys.exit(direct.open(sys.argv[1], timeout=5).status != 200)
PYTHON
        ((tries > 0)) || die "LaRS did not answer GET /about with 200 within a minute"
        sleep 0.5
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
