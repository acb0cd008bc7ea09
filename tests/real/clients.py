#!/usr/bin/env python3
"""Lets xAPI client libraries do what they do to documents, straight and through Staleguard.

Each client is a program in clients.d that does one call at a time with the library, unmodified. On
each document resource it goes through the life of one document:

  create                     of a document that is not there;
  read
  update                     with what the library knows of the document after it has read it;
  stale update               the same, but somebody else wrote between the reading and the writing;
  merge                      a POST without a condition, for the clients that have a call for it;
  stale delete, delete what was read
                             with what it knows, stale and not, for the clients that can state it;
  overwrite                  a PUT of a document that was not read;
  delete                     without a condition.

In between, this program is somebody else, who writes the same way, and looks at the upstream itself
what is there. It prints a table of what each call answered, straight → through Staleguard. What has
to hold through Staleguard:

  - a call that worked straight works, but for stale ones, and PUTs of profiles that were not read;
  - a stale update or delete is refused with 412, and what somebody else wrote is still there;
  - an update, or a delete, with what was read works;
  - what worked is what is there then, and an overwrite that was refused has changed nothing;
  - the table is the one in clients.d/expected.txt, to the letter.

Ends with 0 if all that held, with 1 if not, and with 2 if it could not be found out. The table goes
to standard output, everything else to standard error.

Python standard library only.
"""

import argparse
import base64
import difflib
import http.client
import json
import os
import select
import subprocess
import sys
import time
import urllib.parse

RESOURCES = ("activities/state", "activities/profile", "agents/profile")
WAYS = ("straight", "through")

# How long an answer may take, and the end of a client, in seconds.
ANSWER_LIMIT = 30
END_LIMIT = 10

# row: (call of the client, whether it reads first, somebody else writes after that, it writes)
CREATE = "create"
ROWS = {
    CREATE: ("create", False, False, True),
    "read": ("read", False, False, False),
    "update": ("update", True, False, True),
    "update with the ETag": ("update with the ETag", True, False, True),
    "stale update": ("update", True, True, True),
    "stale update with the ETag": ("update with the ETag", True, True, True),
    "merge": ("merge", False, False, True),
    "stale delete": ("delete what was read", True, True, False),
    "delete what was read": ("delete what was read", True, False, False),
    "overwrite": ("overwrite", False, False, True),
    "delete": ("delete", False, False, False),
}
# Rows that must be refused with 412, and that must work.
STALE = {"stale update", "stale update with the ETag", "stale delete"}
CORRECT = {"read", "update", "update with the ETag", "delete what was read"}

# client: (its program, the calls that it cannot do)
CLIENTS = {
    "tincanjs": ("tincanjs.mjs", {"update with the ETag", "merge", "delete what was read"}),
    "@xapi/xapi": ("xapi.mjs", {"update with the ETag"}),
    "adl-xapiwrapper": ("xapiwrapper.mjs", {"merge", "delete what was read"}),
    "tincan (PyPI)": ("pypi_tincan.py", {"update with the ETag", "merge"}),
}

NOTES = """\
Each cell: what the call was answered straight → through Staleguard. "with" says which call of the
library it was. PyPI's tincan sends save_state twice and gives back the answer to the second: where
the first was an update, Staleguard takes the second for a replay of it (204). LaRS itself takes
X-Experience-API-Version 2.0.0 alone: there the libraries, which know 1.0.x, are told to send that.
"""


class Unable(Exception):
    """It cannot be found out."""


class Server:
    """What somebody else uses: plain HTTP, one connection a request."""

    def __init__(self, url, version):
        parts = urllib.parse.urlsplit(url)
        self.url, self.version = url.rstrip("/"), version
        self.host, self.port, self.base = parts.hostname, parts.port, parts.path.rstrip("/")

    def ask(self, method, document, body=None, fields=()):
        """Status, ETag and body of the answer."""
        query = {"activityId": document["activity"]}
        if document["resource"] != "activities/profile":
            query["agent"] = json.dumps(document["agent"])
        if document["resource"] == "agents/profile":
            del query["activityId"]
        state = document["resource"] == "activities/state"
        query["stateId" if state else "profileId"] = document["id"]
        headers = {
            "X-Experience-API-Version": self.version or "1.0.3",
            "Authorization": "Basic " + base64.b64encode(b"player:secret").decode(),
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_LIMIT)
        try:
            target = f"{self.base}/{document['resource']}?{urllib.parse.urlencode(query)}"
            connection.request(method, target, body, headers | dict(fields))
            answer = connection.getresponse()
            return answer.status, answer.getheader("ETag"), answer.read()
        except (OSError, http.client.HTTPException) as problem:
            raise Unable(f"{method} of {self.url} had no answer: {problem!r}") from problem
        finally:
            connection.close()

    def contents(self, document):
        """What is stored, or None."""
        status, _, body = self.ask("GET", document)
        if status == 404:
            return None
        if status != 200:
            raise Unable(f"GET of {document} from {self.url} was answered {status}")
        return json.loads(body)

    def write(self, document, contents):
        """Writes as one does who has read what is there."""
        status, tag, _ = self.ask("GET", document)
        if status == 404:
            fields = [("If-None-Match", "*")]
        else:
            fields = [("If-Match", tag)] if tag else []
        # Not as a library would spell it.
        body = json.dumps(contents, separators=(" , ", " : "))
        status, _, text = self.ask("PUT", document, body, fields)
        if not 200 <= status < 300:
            raise Unable(f"somebody else's PUT to {self.url} was answered {status}: {text[:300]!r}")


class Client:
    """A client's program."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.command = command

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def call(self, document, call, contents=None):
        """What the client says of the call."""
        asked = {**document, "call": call}
        if contents is not None:
            asked["contents"] = contents
        try:
            self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        except BrokenPipeError:
            raise Unable(f"{self.command} ended before {call}") from None
        line = b""
        until = time.monotonic() + ANSWER_LIMIT
        while not line.endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Unable(f"{self.command} did not end {call} within {ANSWER_LIMIT} s")
            some = self.process.stdout.read(65536)
            if not some:
                raise Unable(f"{self.command} ended in {call}")
            line += some
        try:
            return json.loads(line)
        except ValueError:
            raise Unable(f"{self.command} said {line!r} of {call}") from None


def live(client, document, absent, own, upstream, wrong):
    """One document's life: {row: what the client said}. `wrong` is told what must not be."""
    said = {}
    number = 0

    def contents(by):
        # Its keys are always the same, so that a merge makes what a PUT would.
        nonlocal number
        number += 1
        return {"by": by, "number": number}

    for row, (call, reads, other, writes) in ROWS.items():
        if call in absent:
            continue
        if row != CREATE and upstream.contents(document) is None:
            own.write(document, contents("somebody else"))
        if reads:
            read = client.call(document, "read")
            if read.get("status") != 200:
                wrong(row, f"the reading before it was answered {result(read)}")
        if other:
            own.write(document, contents("somebody else"))
        before = upstream.contents(document)
        new = contents(row) if writes else None
        said[row] = client.call(document, call, new)
        after = upstream.contents(document)
        if row == "read":
            if said[row].get("contents") != before:
                wrong(row, f"it read {said[row].get('contents')} where {before} is")
        elif worked(said[row]):
            if after != new:
                wrong(row, f"it worked, and there is {after} instead of {new}")
        elif row in STALE or row == "overwrite":
            if after != before:
                wrong(row, f"it was refused, and there is {after} instead of {before}")
    return said


def worked(said):
    return 200 <= said.get("status", 0) < 300


def result(said):
    return str(said.get("status", "error"))


def excepted(row, resource):
    """Whether a call that worked straight may fail."""
    return row in STALE or (row == "overwrite" and resource != "activities/state")


def run(options, upstreams):
    """(the table, what must not be)"""
    table = {}  # (client, resource, row): {upstream: (straight, through)}
    notes = {}
    problems = []
    for name, (straight_url, through_url, version) in upstreams.items():
        servers = [Server(url, version) for url in (straight_url, through_url)]
        began = time.monotonic()
        for client, (program, absent) in CLIENTS.items():
            said = {}
            for way, own in zip(WAYS, servers):
                path = os.path.join(options.drivers, program)
                command = [sys.executable if program.endswith(".py") else options.node, path]
                packages = options.python if program.endswith(".py") else options.npm
                with Client([*command, own.url, packages, version]) as process:
                    for resource in RESOURCES:
                        word = "".join(letter for letter in client if letter.isalpha())
                        document = {
                            "resource": resource,
                            "id": f"{word}-{way}",
                            "activity": f"http://example.com/activities/{word}",
                            "agent": {"mbox": f"mailto:{word}@example.com"},
                        }

                        def wrong(row, what, resource=resource, way=way, client=client):
                            if way == "through":
                                problems.append(f"{name}: {client}, {resource}, {row}: {what}")

                        lived = live(process, document, absent, own, servers[0], wrong)
                        for row, answer in lived.items():
                            said[way, resource, row] = answer
                            notes[client, resource, row] = answer.get("note", "")
                            if "error" in answer:
                                print(f"clients: {name}, {way}: {client}, {resource}, {row}:",
                                      answer["error"], file=sys.stderr)  # fmt: skip
            for (way, resource, row), through in said.items():
                if way != "through":
                    continue
                straight = said["straight", resource, row]
                place = f"{name}: {client}, {resource}, {row}"
                cell = f"{result(straight)} → {result(through)}"
                table.setdefault((client, resource, row), {})[name] = cell
                if worked(straight) and not worked(through) and not excepted(row, resource):
                    problems.append(f"{place}: worked straight, and fails: {cell}")
                if row in STALE and through.get("status") != 412:
                    problems.append(f"{place}: not refused with 412: {cell}")
                if row in CORRECT and not worked(through):
                    problems.append(f"{place}: does not work: {cell}")
        print(f"clients: {name}: {time.monotonic() - began:.1f} s", file=sys.stderr)
    return render(table, notes, list(upstreams)), problems


def render(table, notes, names):
    rows = [("client", "resource", "call", "with", *names)]
    for (client, resource, row), cells in table.items():
        note = notes[client, resource, row]
        rows.append((client, resource, row, note, *(cells[name] for name in names)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [NOTES]
    above = None
    for row in rows:
        if above not in (None, row[:2]):
            lines.append("")
        lines.append("  ".join(map(str.ljust, row, widths)).rstrip())
        above = row[:2]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drivers", required=True, help="the folder of the clients' programs")
    parser.add_argument("--npm", required=True, help="the folder with node_modules")
    parser.add_argument("--python", required=True, help="the folder with Python's packages")
    parser.add_argument("--node", default="node")
    parser.add_argument("--expected", required=True, help="the table as it must be")
    parser.add_argument("upstream", nargs="+", metavar="NAME=STRAIGHT=THROUGH=VERSION")
    options = parser.parse_args()
    upstreams = {}
    for given in options.upstream:
        name, *rest = given.split("=")
        if len(rest) != 3:
            parser.error(f"{given!r} is not NAME=STRAIGHT=THROUGH=VERSION")
        upstreams[name] = rest

    try:
        table, problems = run(options, upstreams)
    except Unable as problem:
        print(f"clients: {problem}", file=sys.stderr)
        return 2
    print(table, end="", flush=True)
    with open(options.expected, encoding="utf-8") as file:
        expected = file.read()
    if table != expected:
        lines = [text.splitlines(keepends=True) for text in (expected, table)]
        sys.stderr.writelines(difflib.unified_diff(*lines, "expected", "this table", n=0))
        problems.append(f"the table is not the one in {os.path.basename(options.expected)}")
    for problem in problems:
        print(f"clients: WRONG: {problem}", file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
