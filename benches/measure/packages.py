"""Programs that Debian has."""

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")


class Missing(Exception):
    """A program that is not there and cannot be installed."""


def need(programs):
    """Installs the packages of those programs that are missing; a mapping from program to package."""
    # Servers are in sbin, which is not on everybody's path.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {package for program, package in programs.items() if shutil.which(program, path=path) is None}
    if not missing:
        return
    # One run at a time, so that none removes the policy that another relies on.
    with _alone():
        _install(sorted(missing))


@contextmanager
def _alone():
    folder = os.open("/usr/sbin", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _install(packages):
    print(f"installing {', '.join(packages)}", file=sys.stderr)
    if shutil.which("apt-get") is None:
        raise Missing(f"install {', '.join(packages)}: there is no apt-get")
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300", "-q"]
    # Installing must start no service. Debian's scripts ask this file; 101 means no.
    forbids = os.geteuid() == 0 and not POLICY.exists()
    try:
        if forbids:
            POLICY.write_text("#!/bin/sh\nexit 101\n")
            POLICY.chmod(0o755)
        for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run([*apt, *command], stdout=subprocess.DEVNULL, timeout=900, check=False)
            if done.returncode != 0:
                raise Missing(f"apt-get could not install {', '.join(packages)}")
    finally:
        if forbids:
            POLICY.unlink(missing_ok=True)


def path_of(program):
    """Where a program is."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
