"""Processes: all that is started here is ended here, by its process id, last started first."""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# How long a process may take until it says that it is there; valgrind makes everything fifty times slower.
START = 60.0


class Failed(Exception):
    """A process that does not do what it should."""


def leave(number, _frame):
    """Ends this program, and on the way what it has started."""
    raise SystemExit(128 + number)


class Processes:
    """Those that are running, and a folder for their files that is gone when they are."""

    def __init__(self):
        self._running = []
        self._folder = tempfile.TemporaryDirectory(prefix="staleguard-benches-")
        self.folder = Path(self._folder.name)

    def __enter__(self):
        # So that a signal unwinds, and with it ends what was started.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, leave)
        return self

    def __exit__(self, *_):
        while self._running:
            self.end(self._running[-1])
        self._folder.cleanup()

    def start(self, command, cpus, **how):
        """Starts a program on these cores; it is told to end when this process is gone."""
        # Debian's util-linux is essential; with it not even a kill leaves anything behind.
        command = ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)]
        process = subprocess.Popen(
            command, preexec_fn=lambda: os.sched_setaffinity(0, cpus), start_new_session=True, text=True, **how
        )
        self._running.append(process)
        return process

    def announced(self, command, cpus, pattern, name):
        """Starts a program, and waits until its output has this: the process and what the group caught."""
        log = self.folder / f"{name}.log"
        with log.open("w") as output:
            process = self.start(command, cpus, stdin=subprocess.PIPE, stdout=output, stderr=output)
        until = time.monotonic() + START
        while True:
            if found := re.search(pattern, log.read_text()):
                return process, found[1]
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"{command[0]} does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.01)

    def end(self, process, pid=None):
        """Ends a process in good order, or what it watches, and kills it when that takes too long."""
        if process in self._running:
            self._running.remove(process)
        if process.poll() is None:
            try:
                os.kill(pid or process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


def tree(pid):
    """A process and all below it."""
    return [pid, *children(pid)]


def children(pid):
    """The process ids below one."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = thread.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in map(int, below):
            found += [child, *children(child)]
    return found
