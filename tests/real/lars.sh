# shellcheck shell=bash
# What the scripts share that need a real LRS: LaRS on PostgreSQL, beside what is in common.sh. It is
# sourced by a script that has said in `program` what it is called.
set -euo pipefail

readonly crate=xapi-rs version=0.1.22

# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

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
