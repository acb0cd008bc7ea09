"""Lets a program that counts do what it is to be fast at, and writes down its counts for the compiler."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from . import build, packages, peers, profdata
from .cases import CASES, FIELDS
from .compare import OURS, start
from .processes import Failed, Processes
from .rig import Load
from .sample import words
from .shapes import GETS, LOGGED, PUTS, Shape, case_of
from .witnesses import h2load_says, run

SIZES = (64, 1024, 16 * 1024)
CONNECTIONS = 8
# How long each is sent, and how many are sent over HTTP/2. What is never counted is built to be small and not fast; how
# often beyond that says little.
SECONDS = 1.0
STREAMED = 4000
PROGRAMS = {"h2load": "nghttp2-client", "openssl": "openssl", "setpriv": "util-linux"}
TLS = """
[listen.tls]
certificate = "{certificate}"
key = "{key}"
"""


def lessons():
    """What is sent: shapes of one entry, every case in every size, to the kind of proxy that it is measured by."""
    ours = [entry for entry in (*GETS, *LOGGED, *PUTS) if not entry.straight]
    return [Shape(case_of(entry).method, size, CONNECTIONS, (entry,)) for size in SIZES for entry in ours]


def send(rig, shape, seconds):
    """Sends one of them for so long."""
    (entry,) = shape.entries
    asked, _ = words(shape, entry, seconds)
    load = Load(rig.processes, rig.others, rig.peers[entry.peer].address, asked)
    spent = load.go()["seconds"]
    while case_of(entry).warm and spent < seconds:
        load.again()
        spent += load.go()["seconds"]
    load.end()


def with_tls(rig):
    """Starts a proxy that speaks TLS, by a certificate of its own."""
    certificate, key = rig.processes.folder / "tls.crt", rig.processes.folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"openssl makes no certificate: {done.stderr[-500:]}")
    more = TLS.format(certificate=certificate, key=key)
    return peers.staleguard(rig.processes, rig.proxy, rig.upstream.address, "staleguard-tls", more=more)


def stream(rig, peer, requests):
    """Reads over HTTP/2 with TLS."""
    fields = [word for field in FIELDS for word in ("-H", field)]
    for case in ("relayed-get", "guarded-get-xxh3"):
        path = CASES[case].target.replace("SIZE", "1024").replace("{}-{n}", "0")
        command = ["h2load", "-n", requests, "-c", 8, "-m", 8, "-t", 1, *fields, f"https://{peer.address}{path}"]
        h2load_says(run(rig, command))


def train(processes):
    """Sends everything: the proxies that were asked, all of which have ended."""
    rig = start(processes, {kind: kind for kind in OURS})
    for shape in lessons():
        send(rig, shape, SECONDS)
    secret = with_tls(rig)
    stream(rig, secret, STREAMED)
    asked = [*rig.peers.values(), secret]
    # The counts are written at the end of a process, and only at one in good order.
    for peer in asked:
        processes.end(peer.process)
        if peer.process.returncode != 0:
            raise Failed(f"{peer.name} has ended with {peer.process.returncode}")
    return asked


def main(argv):
    """Trains, and merges the counts."""
    parser = argparse.ArgumentParser(prog="python3 -m measure.train", description=__doc__)
    parser.add_argument("output", type=Path, help="where the counts are written to; STALEGUARD_PROGRAM is the program")
    output = parser.parse_args(argv).output
    packages.need(PROGRAMS)
    tool = profdata.find()
    build.build(build.TOOLS)
    with Processes() as processes:
        os.environ["LLVM_PROFILE_FILE"] = str(processes.folder / "%p.profraw")
        asked = train(processes)
        counts = list(processes.folder.glob("*.profraw"))
        if len(counts) != len(asked):
            raise Failed(f"{len(counts)} of {len(asked)} have written counts: is the program one that counts?")
        profdata.merge(tool, counts, output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
