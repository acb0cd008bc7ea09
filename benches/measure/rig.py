"""The proxy between the fixed upstream and the load."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

from . import build
from .processes import Failed, children

# What is recalled must outlast the slowest of the tools, and documents enough must fit.
CONFIG = """
[listen]
address = "127.0.0.1:0"
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
remembered-max = "256MiB"
[resource.notes]
path = "/{{size}}/docs/{{id}}"
identity = ["path"]
etag = "xxh3"
"""


def start_upstream(processes, cpus):
    """Starts the fixed upstream: its address."""
    command = [build.program("staleguard-fixed-upstream"), "--with-stdin"]
    return processes.announced(command, cpus, r"listening on (\S+)", "upstream")[1]


def calls(upstream):
    """How many requests the upstream has seen, this question not counted."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{upstream}/-/calls", timeout=10) as answer:
        return int(answer.read())


class Proxy:
    """Staleguard, alone or under a tool that watches it."""

    def __init__(self, processes, cpus, upstream, *, exclusive=False, access_log=False, under=(), name="staleguard"):
        config = processes.folder / f"{name}.toml"
        true = {True: "true", False: "false"}
        config.write_text(CONFIG.format(upstream=upstream, exclusive=true[exclusive], access_log=true[access_log]))
        command = [*under, build.program("staleguard"), "run", "--config", config]
        self._processes = processes
        self._process, self.address = processes.announced(command, cpus, r"listening on http://(\S+)", name)
        below = children(self._process.pid)
        # strace starts it; valgrind becomes it.
        self.pid = below[0] if below else self._process.pid

    def switches(self):
        """How often its threads have waited for something, so far."""
        found = 0
        for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
            found += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)[1])
        return found

    def end(self):
        """Ends it in good order, and waits for what watches it to write down what it saw."""
        self._processes.end(self._process, self.pid)


class Load:
    """The load, which waits until it is told to send."""

    def __init__(self, processes, cpus, address, arguments):
        self._processes = processes
        command = [build.program("staleguard-load"), address, *arguments]
        self._process = processes.start(
            command, cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.wait()

    def wait(self):
        """Waits until it has learned."""
        self._expect("ready\n")

    def _expect(self, line):
        found = self._process.stdout.readline()
        if found != line:
            raise Failed(f"the load fails: {found}{self._process.stderr.read()[-500:]}")

    def go(self):
        """Lets it send: what came of it."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            raise Failed(f"the load fails: {line}{self._process.stderr.read()[-500:]}")
        return json.loads(line)

    def end(self):
        """Ends it."""
        self._processes.end(self._process)
        self._process.stderr.close()
