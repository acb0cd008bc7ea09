"""The programs of this repository, built as they ship."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHES = ROOT / "benches"


class NotBuilt(Exception):
    """What cargo could not build."""


def folder():
    """Where cargo puts what it builds for release."""
    return (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve() / "release"


def build():
    """Builds the proxy, the fixed upstream and the load."""
    # One at a time, so that what others have built of the same packages is used again.
    for package in ("staleguard", "staleguard-fixed-upstream", "staleguard-load"):
        command = ["cargo", "build", "--locked", "--release", "--package", package, "--bins"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            raise NotBuilt(f"cargo could not build {package}")


def program(name):
    """A program that was built."""
    return folder() / name
