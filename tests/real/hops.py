#!/usr/bin/env python3
"""Reads and writes documents through hops that stand in front of Staleguard and compress.

`hops.py serve` is the server behind Staleguard: it keeps documents in memory, byte for byte, and
has no entity-tags. `hops.py check` does this through each hop, on each document resource:

  read    GET with `Accept-Encoding: gzip, br`: decoded, the bytes are the stored ones;
  again   GET with the tag as it arrived in If-None-Match: 304;
  write   PUT with the tag as it arrived in If-Match: accepted, and exactly those bytes are stored;
  stale   PUT and DELETE with the same tag, which is stale now: 412, made by Staleguard, and the
          server behind it sees no write;
  delete  DELETE with the tag of a new read, as it arrived: accepted.

All that in two settings. In "no-transform" the answers carry the Cache-Control that Staleguard
gives to documents that have none. In "no-cache" the server gives one of its own, so that hops
that honour no-transform compress as well.

Then `staleguard doctor --public` asks through each hop, and must find of the tag what was seen here,
leave no document behind, and find no other problem than that a hop takes no long targets.

Where a hop takes the tag off altogether there is nothing to write with: the table says so. Where it
does not pass If-None-Match on (the path /echo tells), 304 is not asked for, only shown.

Ends with 0 if all that held, if every hop compressed in "no-cache", and if some hop changed the tag
there: else accepting tags as they arrive proves nothing. Ends with 1 if not, and with 2 if the
checks could not be run.

Python standard library only; `br` is decoded by Debian's brotli.
"""

import argparse
import collections
import hashlib
import http.client
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
import zlib

RESOURCES = ("activities/state", "agents/profile", "activities/profile")
# What Cache-Control a document is answered with, straight by Staleguard, in each setting.
SETTINGS = {"no-transform": "private, no-cache, no-transform", "no-cache": "no-cache"}
ACCEPT = ("Accept-Encoding", "gzip, br")

# How long one answer may take, and how long a hop may take to start, in seconds.
ANSWER_LIMIT = 20
START_LIMIT = 20


# --- The server behind Staleguard ---


class Documents(http.server.BaseHTTPRequestHandler):
    """Documents under /xapi; /echo tells what arrived, /writes how many writes did, and /doctors how
    many documents of the doctor's there are."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer goes out in one piece
    stored = {}
    writes = 0
    lock = threading.Lock()

    def key(self):
        """What names the document, and whether its setting is "no-cache"."""
        parts = urllib.parse.urlsplit(self.path)
        pairs = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
        own = any(name in ("stateId", "profileId") and "no-cache" in it for name, it in pairs)
        return (parts.path, tuple(sorted(pairs))), own

    def answer(self, status, body=b"", fields=()):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def tell(self, thing):
        fields = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        self.answer(200, json.dumps(thing).encode(), fields)

    def do_GET(self):
        if self.path == "/echo":
            return self.tell([[name.lower(), value] for name, value in self.headers.items()])
        if self.path == "/writes":
            return self.tell(Documents.writes)
        if self.path == "/doctors":
            with self.lock:
                return self.tell(sum("staleguard-doctor" in str(key) for key in self.stored))
        if self.path == "/xapi/about":
            return self.tell({"version": ["1.0.3", "2.0.0"]})
        key, own = self.key()
        with self.lock:
            document = self.stored.get(key)
        if document is None:
            return self.answer(404)
        fields = [("Content-Type", "application/json")]
        if own:
            fields.append(("Cache-Control", SETTINGS["no-cache"]))
        return self.answer(200, document, fields)

    do_HEAD = do_GET

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.write(lambda key: self.stored.__setitem__(key, body))

    def do_DELETE(self):
        self.write(lambda key: self.stored.pop(key, None))

    def write(self, change):
        with self.lock:
            Documents.writes += 1
            change(self.key()[0])
        self.answer(204)

    def log_message(self, *_):
        pass


def serve(_):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Documents) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


# --- The client ---

Answer = collections.namedtuple("Answer", "status fields body")


class Unable(Exception):
    """The checks cannot be run: nothing is proven either way."""


class Place:
    """A server that requests are sent to, each on a connection of its own."""

    def __init__(self, name, url):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or parts.port is None:
            raise Unable(f"{url!r} is no http://HOST:PORT")
        self.name = name
        self.address = (parts.hostname, parts.port)

    def ask(self, method, path, body=None, fields=()):
        connection = http.client.HTTPConnection(*self.address, timeout=ANSWER_LIMIT)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (("X-Experience-API-Version", "2.0.0"), *fields):
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Type", "application/json")
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (http.client.HTTPException, OSError) as error:
            why = f"{type(error).__name__}: {error}"
            raise Unable(f"{self.name}: {method} {path} had no answer: {why}") from error
        finally:
            connection.close()

    def wait(self, token):
        """Until it answers for the server behind Staleguard: its port could be someone else's."""
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                echo = self.ask("GET", "/echo", fields=[("X-Token", token)])
                if echo.status == 200 and ["x-token", token] in json.loads(echo.body):
                    return
                why = f"it answered {echo.status}: {echo.body[:200]!r}"
            except (Unable, ValueError) as error:
                why = str(error)
            if time.monotonic() > deadline:
                raise Unable(f"{self.name} did not start within {START_LIMIT} s: {why}")
            time.sleep(0.1)


def address(resource, name):
    """The path and query of one document."""
    activity = ("activityId", "https://staleguard.example/activities/hops")
    agent = ("agent", json.dumps({"objectType": "Agent", "mbox": "mailto:hops@staleguard.example"}))
    query = {
        "activities/state": (activity, agent, ("stateId", name)),
        "agents/profile": (agent, ("profileId", name)),
        "activities/profile": (activity, ("profileId", name)),
    }[resource]
    return f"/xapi/{resource}?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)


def document(seed):
    """About 5 kB of JSON, which no two seeds share."""
    cards = [
        {"card": n, "due": f"2026-03-{n % 28 + 1:02}", "ease": 2.5, "seen": n * n}
        for n in range(90)
    ]
    return json.dumps({"by": seed, "cards": cards}).encode()


def decoded(answer):
    """The contents without their coding, or a sentence on why there are none."""
    coding = coding_of(answer)
    try:
        if coding == "identity":
            return answer.body
        if coding == "gzip":
            return zlib.decompress(answer.body, wbits=31)
        if coding == "br":
            done = subprocess.run(
                ["brotli", "-dc"], input=answer.body, capture_output=True, timeout=20, check=True
            )
            return done.stdout
    except (zlib.error, subprocess.CalledProcessError) as error:
        return f"cannot be decoded from {coding}: {error}"
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unable(f"Debian's brotli cannot be run: {error}") from error
    return f"are in the coding {coding!r}, which was not asked for"


def coding_of(answer):
    return (answer.fields["Content-Encoding"] or "identity").lower()


# --- The checks ---


class Row:
    """What one hop did in one setting: a value of each kind per document resource."""

    def __init__(self, hop, setting):
        self.hop = hop
        self.setting = setting
        self.seen = collections.defaultdict(list)
        self.wrong = collections.defaultdict(list)  # a sentence, and the resources it is true of

    def note(self, kind, value):
        self.seen[kind].append(str(value))

    def expect(self, holds, resource, sentence):
        if not holds:
            self.wrong[sentence].append(resource)

    def cell(self, kind):
        values = self.seen[kind]
        return values[0] if len(set(values)) == 1 else " / ".join(values) or "-"


def change(sent, arrived):
    """What became of the tag, in a few words."""
    if arrived is None:
        return "removed"
    if arrived == sent:
        return "unchanged"
    weak, rest = arrived.startswith("W/"), arrived.removeprefix("W/")
    words = ["weakened"] if weak else []
    if rest != sent:
        suffix = rest.removeprefix(sent[:-1]).removesuffix('"')
        words.append(f"{suffix} added" if rest == f'{sent[:-1]}{suffix}"' else "rewritten")
    return ", ".join(words)


def shortened(tag):
    return "none" if tag is None else re.sub(r"\b([0-9a-f]{4})[0-9a-f]{36}", r"\1...", tag)


class Check:
    def __init__(self, documents, guard):
        self.documents = documents
        self.guard = guard

    def row(self, hop, setting):
        row = Row(hop.name, setting)
        echo = hop.ask("GET", "/echo", fields=[("If-None-Match", '"a"')])
        asks_again = ["if-none-match", '"a"'] in json.loads(echo.body)
        for resource in RESOURCES:
            path = address(resource, f"{hop.name} {setting}")
            self.document(row, hop, resource, path, asks_again)
        return row

    def writes(self):
        return json.loads(self.documents.ask("GET", "/writes").body)

    def document(self, row, hop, resource, path, asks_again):
        """The steps on one document; what is wrong goes to the row."""
        old, new = (document(f"{row.hop}, {row.setting}: {which}") for which in ("old", "new"))
        first = self.guard.ask("PUT", path, old, [("If-None-Match", "*")])
        if first.status != 204:
            raise Unable(f"a first PUT was answered {first.status}: {first.body[:300]!r} ({path})")
        straight = self.guard.ask("GET", path, fields=[ACCEPT])
        sent = straight.fields["ETag"]
        if sent != f'"{hashlib.sha1(old).hexdigest()}"':
            raise Unable(f"Staleguard's own tag is {sent}, not the document's SHA-1 ({path})")
        if straight.fields["Cache-Control"] != SETTINGS[row.setting]:
            raise Unable(f"Cache-Control is {straight.fields['Cache-Control']!r} in {row.setting}")

        read, arrived = self.read(row, hop, resource, path, old)
        row.note("coding", coding_of(read))
        row.note("sent", shortened(sent))
        row.note("arrived", shortened(arrived))
        row.note("change", change(sent, arrived))
        if arrived is None:
            return

        again = hop.ask("GET", path, fields=[ACCEPT, ("If-None-Match", arrived)])
        row.note("again", again.status if asks_again else f"({again.status})")
        if asks_again:
            what = f"GET with If-None-Match: {arrived}, as it arrived,"
            row.expect(again.status == 304, resource, f"{what} was answered {again.status}")

        if not self.write(row, hop, resource, path, "PUT", new, arrived):
            return  # what was not written made no tag stale
        for method, body in (("PUT", old), ("DELETE", None)):
            self.stale(row, hop, resource, path, method, body, arrived, new)
        _, arrived = self.read(row, hop, resource, path, new)
        if arrived is None:
            row.expect(False, resource, "the tag was removed from the second read alone")
            return
        self.write(row, hop, resource, path, "DELETE", None, arrived)

    def read(self, row, hop, resource, path, stored):
        answer = hop.ask("GET", path, fields=[ACCEPT])
        row.expect(answer.status == 200, resource, f"GET was answered {answer.status}")
        contents = decoded(answer)
        if isinstance(contents, str):
            row.expect(False, resource, f"the contents {contents}")
        else:
            row.expect(contents == stored, resource, "GET gave other bytes than are stored")
        return answer, answer.fields["ETag"]

    def write(self, row, hop, resource, path, method, body, tag):
        """Whether the write was accepted."""
        before = self.writes()
        answer = hop.ask(method, path, body, [("If-Match", tag)])
        row.note("written", answer.status)
        what = f"{method} with If-Match: {tag}, as it arrived,"
        accepted = 200 <= answer.status <= 299
        row.expect(accepted, resource, f"{what} was answered {answer.status}")
        if accepted:
            row.expect(self.writes() == before + 1, resource, f"{what} did not arrive as one write")
            row.expect(self.stored(path) == body, resource, f"{what} did not store what was sent")
        return accepted

    def stale(self, row, hop, resource, path, method, body, tag, stored):
        before = self.writes()
        answer = hop.ask(method, path, body, [("If-Match", tag)])
        row.note("refused", answer.status)
        what = f"{method} with If-Match: {tag}, which is stale,"
        row.expect(answer.status == 412, resource, f"{what} was answered {answer.status}")
        by = answer.fields["Proxy-Status"] or ""
        row.expect(by.startswith("staleguard"), resource, f"{what} was not answered by Staleguard")
        row.expect(self.writes() == before, resource, f"{what} reached the server")
        row.expect(self.stored(path) == stored, resource, f"{what} changed the document")

    def stored(self, path):
        answer = self.documents.ask("GET", path)
        return answer.body if answer.status == 200 else None


COLUMNS = {
    "coding": "coding",
    "sent": "tag as sent",
    "arrived": "as it arrived",
    "change": "change",
    "again": "GET",
    "written": "write",
    "refused": "stale write",
    "doctor": "doctor",
}

LEGEND = """\
GET, write and stale write are made with the tag as it arrived: GET in If-None-Match, PUT and DELETE
in If-Match. A status stands for all three document resources, or one for each. (304): the hop
does not ask again, and compares the tag itself."""


def table(rows):
    """The lines of the table. A cell that is the same on all resources is shown once."""
    lines = [("hop", "setting", *COLUMNS.values())]
    for row in rows:
        lines.append((row.hop, row.setting, *(row.cell(kind) for kind in COLUMNS)))
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    rule = "-" * max(len(line) for line in text)
    return [text[0], rule, *text[1:], rule, LEGEND]


def verdict(rows):
    """What is wrong: a list of sentences, empty if nothing is."""
    wrong = [
        f"{row.hop}, {row.setting}: {sentence} ({', '.join(resources)})"
        for row in rows
        for sentence, resources in row.wrong.items()
    ]
    may_compress = [row for row in rows if row.setting == "no-cache"]
    for row in may_compress:
        if "identity" in row.seen["coding"]:
            wrong.append(f"{row.hop} did not compress, even where it may: its rows prove nothing")
    changes = {kind for row in may_compress for kind in row.seen["change"]}
    if changes <= {"unchanged", "removed"}:
        wrong.append("no hop changed the tag: accepting tags as they arrive proves nothing")
    return wrong


# What the doctor must say of a change.
CODES = {"unchanged": "etag-arrives", "removed": "etag-stripped"}


def ask_doctor(options, hop, *fields):
    """What the doctor finds through a hop, and its status."""
    config = ["--config", options.config] if options.config else []
    place = "http://%s:%d/xapi" % hop.address
    command = [options.program, "doctor", *config, "--json", "--upstream", options.documents]
    done = subprocess.run(
        [*command, "--public", place, *fields],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    try:
        return json.loads(done.stdout)["findings"], done.returncode
    except ValueError as error:
        raise Unable(f"{hop.name}: the doctor said {done.stderr!r}") from error


def doctor(options, row, hop):
    """What is wrong with what the doctor finds through a hop."""
    # With credentials, as clients have them.
    findings, status = ask_doctor(options, hop, "-H", "Authorization: Basic aG9wczpob3Bz")
    change = row.cell("change")
    if change.startswith("weakened"):
        code = "etag-suffixed" if "added" in change else "etag-weakened"
    else:
        code = CODES.get(change, "etag-suffixed")
    codes = {one["code"] for one in findings if one["side"] == "public"}
    problems = {one["code"] for one in findings if one["severity"] == "problem"}
    row.note("doctor", ", ".join(sorted(codes & {code} | problems)) or "-")
    wrong = []
    if code not in codes:
        wrong.append(f"{hop.name}: the doctor does not find {code}, but {sorted(codes)}")
    others = problems - {"long-target-refused", "etag-stripped"}
    if others:
        wrong.append(f"{hop.name}: the doctor finds {sorted(others)}")
    if status != (1 if problems else 0):
        wrong.append(f"{hop.name}: the doctor ended with {status}")
    if hop.name.startswith("Varnish"):
        # Without credentials it keeps what it may: a 404 that says nothing of caches would outlast the document's creation.
        findings, _ = ask_doctor(options, hop)
        if "stale-read" in {one["code"] for one in findings}:
            wrong.append(f"{hop.name}: it keeps a 404")
    return wrong


def check(options):
    documents = Place("the documents' server", options.documents)
    guard = Place("Staleguard", options.guard)
    hops = [Place(*text.rsplit("=", 1)) for text in options.hops]
    token = uuid.uuid4().hex
    for place in (documents, guard, *hops):
        place.wait(token)
    checker = Check(documents, guard)
    rows = [checker.row(hop, setting) for hop in hops for setting in SETTINGS]
    # It writes documents in the first of the settings.
    by_hop = zip(hops, rows[:: len(SETTINGS)])
    of_doctor = [sentence for hop, row in by_hop for sentence in doctor(options, row, hop)]
    print(*table(rows), sep="\n")
    wrong = verdict(rows) + of_doctor
    left = json.loads(documents.ask("GET", "/doctors").body)
    if left:
        wrong.append(f"the doctor has left {left} documents behind")
    for sentence in wrong:
        print(f"wrong: {sentence}")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(required=True)
    serving = commands.add_parser("serve", help="be the server behind Staleguard")
    serving.set_defaults(run=serve)
    checking = commands.add_parser("check", help="read and write through the hops")
    checking.add_argument("--documents", required=True, help="the address of the documents' server")
    checking.add_argument("--guard", required=True, help="the address of Staleguard")
    checking.add_argument("--program", required=True, help="the path of Staleguard")
    checking.add_argument("--config", help="the configuration of Staleguard")
    checking.add_argument("hops", nargs="+", metavar="NAME=ADDRESS")
    checking.set_defaults(run=check)
    options = parser.parse_args()
    try:
        return options.run(options)
    except Unable as error:
        print(f"hops.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
