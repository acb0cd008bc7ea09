# shellcheck shell=bash
# What the scripts share that run containers: the tools, a static binary, images, and podman with a
# storage of its own. It is sourced by a script that has said in `program` what it is called.
set -euo pipefail

# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Sees to it that there are buildah, podman and runc, and that they may run here.
need_containers() {
    local missing=()
    ((EUID == 0)) || die "run this as root: it makes containers with network namespaces of their own"
    command -v buildah >/dev/null || missing+=(buildah)
    command -v podman >/dev/null || missing+=(podman)
    command -v runc >/dev/null || missing+=(runc)
    # It keeps a pod's namespaces.
    [[ -x /usr/libexec/podman/catatonit || -x /usr/bin/catatonit ]] || missing+=(catatonit)
    command -v nsenter >/dev/null || missing+=(util-linux)
    command -v python3 >/dev/null || missing+=(python3)
    [[ -s /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
    ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# Keeps podman's and buildah's own things below `work`: after make_work.
keep_apart() {
    # runc and cgroupfs work also where there is no systemd and where cgroups are of both versions, and
    # these limits where the machine itself has no higher ones to give.
    cat >"$work/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
    cat >"$work/storage.conf" <<CONF
[storage]
driver = "vfs"
graphroot = "$work/storage"
runroot = "$work/storage.run"
CONF
    export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
}

# shellcheck disable=SC2329 # called by finish
clear_away() {
    [[ -f $work/storage.conf ]] || return 0
    podman pod rm --force --all --time 1 >/dev/null 2>&1
    podman rm --force --all --time 1 >/dev/null 2>&1
    podman rmi --force --all >/dev/null 2>&1
    true
}

# What programs and images say that they were built from.
readonly revision=of-the-tests

# Sets `static`, the folder of the static programs.
build_static() {
    local host flags
    need_cargo
    say "building Staleguard and the test upstreams as static programs"
    cd "$root"
    host=$(rustc -vV | sed -n 's/^host: //p')
    static=$(cargo metadata --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])') ||
        die "cargo finds no package in $root"
    static=$static/$host/release
    # The flag is the target's alone: derive macros, which run while building, cannot be static.
    flags=CARGO_TARGET_${host^^}_RUSTFLAGS
    # Optimising across crates takes longer than all else here, and changes nothing that is looked at.
    bounded 1800 env -u RUSTFLAGS "${flags//-/_}=-C target-feature=+crt-static" \
        STALEGUARD_REVISION="$revision" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo build --release --locked --target "$host" --package staleguard --bin staleguard \
        --package staleguard-upstreams --bin staleguard-upstreams ||
        die "the static programs were not built"
}

# build_image NAME FOLDER FORMAT: from the folder's Containerfile; Docker's format has the HEALTHCHECK,
# that of the OCI is the same each time
build_image() {
    # buildah's chroot needs no more rights than this script has.
    bounded 120 buildah bud --isolation chroot --format "$3" --no-cache --timestamp 0 --tag "$1" \
        --build-arg "STALEGUARD_REVISION=$revision" \
        --file "$2/Containerfile" "$2" >"$work/${1//[:\/]/-}.built" 2>&1 || {
        cat "$work/${1//[:\/]/-}.built" >&2
        die "the image $1 was not built"
    }
}

# product_image NAME FORMAT: Staleguard's own, by config/image
product_image() {
    local folder
    folder=$work/context-${1//[:\/]/-}
    mkdir "$folder"
    cp "$root/config/image/Containerfile" "$root/config/image/staleguard.toml" \
        "$static/staleguard" /etc/ssl/certs/ca-certificates.crt "$folder"
    build_image "$1" "$folder" "$2"
}

# upstreams_image NAME: the test upstreams, which stand for an LRS
upstreams_image() {
    local folder
    folder=$work/context-${1//[:\/]/-}
    mkdir "$folder"
    cp "$static/staleguard-upstreams" "$folder"
    cat >"$folder/Containerfile" <<'CONTAINERFILE'
FROM scratch
COPY staleguard-upstreams /staleguard-upstreams
USER 65532:65532
ENTRYPOINT ["/staleguard-upstreams"]
CONTAINERFILE
    build_image "$1" "$folder" oci
}

# inspected CONTAINER FORMAT
inspected() { podman container inspect --format "$2" "$1"; }

# within CONTAINER COMMAND...: on this machine, in the network of the container
within() {
    local pid
    pid=$(inspected "$1" '{{.State.Pid}}')
    shift
    nsenter --net="/proc/$pid/ns/net" -- "$@"
}

# until_healthy CONTAINER: waits until its image's own HEALTHCHECK says yes
until_healthy() {
    local tries
    for ((tries = 100; ; tries--)); do
        ! podman healthcheck run "$1" >/dev/null 2>&1 || return 0
        [[ $(inspected "$1" '{{.State.Status}}') == running ]] || {
            podman logs "$1" >&2
            die "the container $1 ended before it was healthy"
        }
        ((tries > 0)) || die "the container $1 was not healthy within 10 s"
        sleep 0.1
    done
}
