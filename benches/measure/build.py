"""The programs of this repository, optimised."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHES = ROOT / "benches"
# What stands behind the proxy and before it.
TOOLS = ("staleguard-fixed-upstream", "staleguard-load")


class NotBuilt(Exception):
    """What could not be built."""


def folder():
    """Where cargo puts what it builds for release."""
    return (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve() / "release"


def build(packages=("staleguard", *TOOLS)):
    """Builds the proxy, the fixed upstream and the load, or some of them."""
    # One at a time, so that what others have built of the same packages is used again.
    for package in packages:
        command = ["cargo", "build", "--locked", "--release", "--package", package, "--bins"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            raise NotBuilt(f"cargo could not build {package}")


def ship(is_there):
    """Where the proxy is as it ships, which benches/ship builds; or, if it is there already, only where."""
    if is_there:
        found = folder().parent / "ship" / "staleguard"
        if not found.exists():
            raise NotBuilt(f"there is no {found}: benches/ship builds it")
        return found
    done = subprocess.run([BENCHES / "ship"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise NotBuilt("benches/ship could not build it")
    return Path(done.stdout.splitlines()[-1])


def program(name):
    """A program that was built; as for the tests, STALEGUARD_PROGRAM is the proxy if it is set."""
    other = os.environ.get("STALEGUARD_PROGRAM") if name == "staleguard" else None
    return Path(other) if other else folder() / name
