"""The proxy between the fixed upstream and the load."""

import json
import re
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from . import build
from .processes import Failed, children

# What is recalled must outlast the slowest of the tools. As much is remembered as is by default.
CONFIG = """
[listen]
address = "{listen}"
[admin]
address = "127.0.0.1:0"
[upstream]
url = "http://{upstream}"
exclusive = {exclusive}
[log]
access = {access_log}
[guard]
read-back = "never"
replay-window = "0s"
recall-max = "1h"
remembered-max = "{remembered_max}"
[resource.notes]
path = "/{{size}}/docs/{{id}}"
identity = ["path"]
etag = "xxh3"
"""


@dataclass(frozen=True)
class Upstream:
    """The fixed upstream that is running."""

    pid: int
    address: str

    def calls(self):
        """How many requests it has seen, this question not counted."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{self.address}/-/calls", timeout=10) as answer:
            return int(answer.read())


def start_upstream(processes, cpus):
    """Starts the fixed upstream."""
    command = [build.program("staleguard-fixed-upstream"), "--with-stdin"]
    process, address = processes.announced(command, cpus, r"listening on (\S+)", "upstream")
    return Upstream(process.pid, address)


def write_config(
    file, upstream, *, listen="127.0.0.1:0", exclusive=False, access_log=False, remembered_max="16MiB", more=""
):
    """Writes the configuration, and more behind it: its file."""
    word = {True: "true", False: "false"}
    text = CONFIG.format(
        upstream=upstream,
        listen=listen,
        exclusive=word[exclusive],
        access_log=word[access_log],
        remembered_max=remembered_max,
    )
    file.write_text(text + more)
    return file


class Proxy:
    """Staleguard, alone or under a tool that watches it."""

    def __init__(self, processes, cpus, upstream, *, under=(), name="staleguard", **settings):
        config = write_config(processes.folder / f"{name}.toml", upstream, **settings)
        command = [*under, build.program("staleguard"), "run", "--config", config]
        self._processes = processes
        self.process, self.address = processes.announced(command, cpus, r"listening on https?://(\S+)", name)
        below = children(self.process.pid)
        # strace starts it; valgrind becomes it.
        self.pid = below[0] if below else self.process.pid

    def switches(self):
        """How often its threads have waited for something, so far."""
        found = 0
        for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
            found += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)[1])
        return found

    def end(self):
        """Ends it in good order, and waits for what watches it to write down what it saw."""
        self._processes.end(self.process, self.pid)


class Load:
    """The load, which waits until it is told to send."""

    def __init__(self, processes, cpus, address, arguments):
        self._processes = processes
        command = [build.program("staleguard-load"), address, *arguments]
        self._process = processes.start(
            command, cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.pid = self._process.pid
        self._expect("ready\n")

    def again(self):
        """Lets it learn once more."""
        self._tell()
        self._expect("ready\n")

    def _tell(self):
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def _expect(self, line):
        found = self._process.stdout.readline()
        if found != line:
            raise Failed(f"the load fails: {found}{self._process.stderr.read()[-500:]}")

    def go(self):
        """Lets it send: what came of it."""
        self._tell()
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            raise Failed(f"the load fails: {line}{self._process.stderr.read()[-500:]}")
        return json.loads(line)

    def end(self):
        """Ends it."""
        self._processes.end(self._process)
        self._process.stderr.close()
