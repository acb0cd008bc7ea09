"""LLVM's tool that merges what programs have counted."""

import os
import re
import subprocess
from pathlib import Path

from . import packages
from .processes import Failed

# The oldest that reads what is written by a program of rustc 1.89 and newer, and what Debian has of it.
OLDEST = 19
INSTALLED = {f"llvm-profdata-{OLDEST}": f"llvm-{OLDEST}"}


def chosen(toolchain, names):
    """One of the toolchain's own, which fits for certain, or the newest of Debian's names; None if none will do."""
    if toolchain:
        return str(min(toolchain))
    versions = (re.fullmatch(r"llvm-profdata-(\d+)", name) for name in names)
    newest = max((int(found[1]) for found in versions if found), default=0)
    return f"llvm-profdata-{newest}" if newest >= OLDEST else None


def find():
    """The tool, which is installed if there is none."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    toolchain = Path(sysroot).glob("lib/rustlib/*/bin/llvm-profdata")
    folders = filter(None, os.environ.get("PATH", "").split(":"))
    found = chosen(list(toolchain), [file.name for folder in folders for file in Path(folder).glob("llvm-profdata-*")])
    if found:
        return found
    try:
        packages.need(INSTALLED)
    except packages.Missing as missing:
        raise packages.Missing(f"{missing}; `rustup component add llvm-tools` does, too") from None
    return next(iter(INSTALLED))


def merge(tool, counts, output):
    """Merges the counts of some processes into one file."""
    command = [tool, "merge", "-o", str(output), *map(str, counts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{tool} fails; `rustup component add llvm-tools` has one that fits:\n{done.stderr[-1000:]}")
