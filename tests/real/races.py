#!/usr/bin/env python3
"""Runs three races on the documents of an xAPI LRS: straight, and through Staleguard.

On each document resource (activities/state, agents/profile, activities/profile) a number of
writers, released together, write one document:

  If-Match  the document exists; every writer reads it, and PUTs with the ETag it was given;
  create    the document does not exist; every writer PUTs with `If-None-Match: *`;
  POST      the document exists; every writer merges one key of its own into it, without header.

A PUT race may have one winner: each further 2xx is an update that its writer believes kept and
that is gone. In a POST race a key is lost if its writer was answered 2xx and the document does
not hold it afterwards.

Ends with 0 if, through Staleguard, every PUT race had exactly one winner, whose bytes are stored,
no key was lost and no other status was seen, while straight each of the three races did go wrong:
if one of them never does, its figure through Staleguard proves nothing. Ends with 1 if not, and
with 2 if the races could not be run.

Python standard library only. The documents are left behind, so use an LRS made for tests.
"""

import argparse
import collections
import http.client
import json
import sys
import threading
import time
import urllib.parse
import uuid

RESOURCES = ("activities/state", "agents/profile", "activities/profile")
RACES = ("If-Match", "create", "POST")

# How long one answer may take, and how long writers wait for each other, in seconds.
ANSWER_LIMIT = 30
BARRIER_LIMIT = 90

Answer = collections.namedtuple("Answer", "status etag body")
# What a writer got: the status of its write (None: no answer), and why if there was none.
Outcome = collections.namedtuple("Outcome", "status why")


class Unable(Exception):
    """The races cannot be run: nothing is proven either way."""


class Target:
    """Where one column of the table sends its requests."""

    def __init__(self, name, url, base, headers):
        parts = urllib.parse.urlsplit(url if "//" in url else "//" + url, scheme="http")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unable(f"{url!r} is no http:// or https:// address")
        self.name = name
        self.url = url
        self.kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self.host = parts.hostname
        self.port = parts.port
        self.prefix = parts.path.rstrip("/") + ("/" + base.strip("/") if base.strip("/") else "")
        self.headers = headers

    def connect(self):
        return Connection(self)


class Connection:
    """One keep-alive connection. http.client sets TCP_NODELAY on it."""

    def __init__(self, target):
        self.target = target
        self.http = target.kind(target.host, target.port, timeout=ANSWER_LIMIT)

    def open(self):
        if self.http.sock is None:
            self.http.connect()

    def close(self):
        self.http.close()

    def prepare(self, method, path, body=None, headers=()):
        """Makes a request ready up to its last byte, without sending any of it."""
        self.http.putrequest(method, self.target.prefix + path, skip_accept_encoding=True)
        for name, value in (*self.target.headers, *headers):
            self.http.putheader(name, value)
        if body is not None:
            self.http.putheader("Content-Type", "application/json")
            self.http.putheader("Content-Length", str(len(body)))
        return body

    def send(self, body):
        """Sends the prepared request, and returns the answer."""
        self.http.endheaders(body)
        response = self.http.getresponse()
        return Answer(response.status, response.getheader("ETag"), response.read())

    def ask(self, method, path, body=None, headers=()):
        """A request that is no part of a race.

        One more try if the server had closed the connection while it was idle.
        """
        for last in (False, True):
            try:
                return self.send(self.prepare(method, path, body, headers))
            except (http.client.HTTPException, OSError) as error:
                self.close()
                if last or isinstance(error, TimeoutError):
                    raise Unable(
                        f"{method} {self.target.url}{path}: no answer: {explain(error)}"
                    ) from error
        raise AssertionError("not reached")


def explain(error):
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def address(resource, run, name):
    """The path and query of one document."""
    activity = ("activityId", f"https://staleguard.example/activities/{run}")
    agent = (
        "agent",
        json.dumps({"objectType": "Agent", "mbox": f"mailto:{run}@staleguard.example"}),
    )
    query = {
        "activities/state": (activity, agent, ("stateId", name)),
        "agents/profile": (agent, ("profileId", name)),
        "activities/profile": (activity, ("profileId", name)),
    }[resource]
    return f"/{resource}?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)


def is_success(status):
    return status is not None and 200 <= status <= 299


def store(connection, path, body):
    """Stores a document that does not exist yet."""
    answer = connection.ask("PUT", path, body, [("If-None-Match", "*")])
    if not is_success(answer.status):
        raise Unable(
            f"{connection.target.name}: a first PUT was answered {answer.status}: "
            f"{answer.body[:300]!r} ({path})"
        )


def read(connection, path):
    """The document, or None if it does not exist."""
    answer = connection.ask("GET", path)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise Unable(
            f"{connection.target.name}: a GET was answered {answer.status}: "
            f"{answer.body[:300]!r} ({path})"
        )
    return answer.body


def release(connections, warm_path, write):
    """Lets all writers go at once; returns the outcome of each.

    Before that each reads `warm_path` on its own connection, so that the connection is open.
    `write(number, read_answer)` gives (method, path, body, headers).
    """
    barrier = threading.Barrier(len(connections))
    outcomes = [Outcome(None, "did not end")] * len(connections)

    def writer(number, connection):
        try:
            first = connection.ask("GET", warm_path)
            request = write(number, first)
            body = connection.prepare(*request)
            connection.open()
        except (Unable, http.client.HTTPException, OSError) as error:
            barrier.abort()
            connection.close()
            outcomes[number] = Outcome(None, f"before the race: {explain(error)}")
            return
        try:
            barrier.wait(BARRIER_LIMIT)
            outcomes[number] = Outcome(connection.send(body).status, None)
        except threading.BrokenBarrierError:
            connection.close()
            outcomes[number] = Outcome(None, "another writer was not ready")
        except (http.client.HTTPException, OSError) as error:
            connection.close()
            outcomes[number] = Outcome(None, explain(error))

    threads = [
        threading.Thread(target=writer, args=pair, daemon=True) for pair in enumerate(connections)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + BARRIER_LIMIT + 3 * ANSWER_LIMIT
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        raise Unable(f"{connections[0].target.name}: a writer did not end ({warm_path})")
    if barrier.broken:
        # A race that not all writers took part in shows nothing.
        reasons = (outcome.why for outcome in outcomes if outcome.why)
        raise Unable(next((why for why in reasons if why.startswith("before")), "writers too slow"))
    return outcomes


class Cell:
    """The figures of one race on one resource in one column."""

    def __init__(self, race):
        self.race = race
        self.documents = 0
        self.doubles = 0  # documents with more than one winner
        self.orphans = 0  # documents without a winner
        self.foreign = 0  # documents with one winner, whose bytes are not the stored ones
        self.acknowledged = 0  # keys whose writer was answered 2xx
        self.lost = 0  # of these, those absent afterwards
        self.unexpected = collections.Counter()

    def add_put(self, outcomes, bodies, stored):
        winners = [number for number, outcome in enumerate(outcomes) if is_success(outcome.status)]
        self.doubles += len(winners) > 1
        self.orphans += not winners
        if len(winners) == 1:
            self.foreign += any(copy != bodies[winners[0]] for copy in stored)
        self.add(outcomes, also_expected=(412,))

    def add_post(self, outcomes, stored):
        kept = []
        for copy in stored:
            try:
                document = json.loads(copy) if copy is not None else {}
            except ValueError:
                document = {}
            kept.append(document if isinstance(document, dict) else {})
        for number, outcome in enumerate(outcomes):
            if is_success(outcome.status):
                self.acknowledged += 1
                self.lost += any(copy.get(key_of(number)) != number for copy in kept)
        # What was there before is nobody's to drop.
        self.foreign += any(copy.get("first") is not True for copy in kept)
        self.orphans += not any(is_success(outcome.status) for outcome in outcomes)
        self.add(outcomes)

    def add(self, outcomes, also_expected=()):
        self.documents += 1
        for status, why in outcomes:
            if status is None:
                self.unexpected[f"no answer ({why})"] += 1
            elif not is_success(status) and status not in also_expected:
                self.unexpected[str(status)] += 1


def key_of(number):
    return f"writer-{number:02}"


def run_cell(race, resource, target, straight, options, run):
    cell = Cell(race)
    control = target.connect()
    truth = None if target is straight else straight.connect()
    connections = [target.connect() for _ in range(options.writers)]
    prefix = f"{race}-{target.name}".lower()
    warm_path = address(resource, run, f"{prefix}-warm")
    try:
        # The activity and the agent are known to the LRS from here on: making them is not raced.
        store(control, warm_path, b'{"warm":true}')
        for document in range(options.documents):
            path = address(resource, run, f"{prefix}-{document}")
            bodies = [
                json.dumps({"document": document, "by": key_of(number)}).encode()
                for number in range(options.writers)
            ]
            if race == "create":

                def write(number, _, path=path, bodies=bodies):
                    return "PUT", path, bodies[number], [("If-None-Match", "*")]

                outcomes = release(connections, warm_path, write)
            elif race == "If-Match":
                store(control, path, json.dumps({"document": document, "first": True}).encode())

                def write(number, answer, path=path, bodies=bodies):
                    if answer.status != 200 or not answer.etag:
                        raise Unable(
                            f"{target.name}: a GET before the race was answered {answer.status} "
                            f"with ETag {answer.etag!r} ({path})"
                        )
                    return "PUT", path, bodies[number], [("If-Match", answer.etag)]

                outcomes = release(connections, path, write)
            else:
                store(control, path, b'{"first":true}')

                def write(number, _, path=path):
                    return "POST", path, json.dumps({key_of(number): number}).encode(), []

                outcomes = release(connections, path, write)

            # Through a proxy the document is read on both ways: what it shows must be stored.
            stored = [read(way, path) for way in (control, truth) if way]
            if race == "POST":
                cell.add_post(outcomes, stored)
            else:
                cell.add_put(outcomes, bodies, stored)
    finally:
        for connection in (control, truth, *connections):
            if connection:
                connection.close()
    return cell


def table(cells, options):
    """The lines of the table."""
    count = options.documents

    def put(cell, number):
        return f"{number} of {count}" if cell.race != "POST" else "-"

    def post(cell):
        return f"{cell.lost} of {cell.acknowledged}" if cell.race == "POST" else "-"

    rows = [
        ("", "", "straight", "", "through Staleguard", "", "", ""),
        (
            "race",
            "resource",
            ">1 winner",
            "keys lost",
            ">1 winner",
            "no winner",
            "wrong bytes",
            "keys lost",
        ),
    ]
    for race in RACES:
        for resource in RESOURCES:
            straight = cells["straight", race, resource]
            through = cells["through", race, resource]
            rows.append(
                (
                    race,
                    resource,
                    put(straight, straight.doubles),
                    post(straight),
                    put(through, through.doubles),
                    str(through.orphans),
                    str(through.foreign),
                    post(through),
                )
            )

    def total(column, field):
        return str(sum(getattr(cells[column, a, b], field) for a in RACES for b in RESOURCES))

    rows.append(
        (
            "total",
            "",
            total("straight", "doubles"),
            total("straight", "lost"),
            total("through", "doubles"),
            total("through", "orphans"),
            total("through", "foreign"),
            total("through", "lost"),
        )
    )
    widths = [max(len(row[n]) for row in rows[1:]) for n in range(len(rows[1]))]
    lines = []
    for row in rows:
        line = ""
        for n, (text, width) in enumerate(zip(row, widths)):
            gap = " | " if n in (2, 4) else "  " if n else ""
            # The heading of a column may run over the columns under it.
            left = n < 2 or row is rows[0]
            line += gap + (text.ljust(width) if left else text.rjust(width))
            if row is rows[0] and n == 4:
                break
        lines.append(line.rstrip())
    rule = "-" * max(len(line) for line in lines)
    return [lines[0], lines[1], rule, *lines[2:-1], rule, lines[-1]]


def verdict(cells):
    """What is wrong with the figures: a list of sentences, empty if nothing is."""
    wrong = []
    for (column, race, resource), cell in cells.items():
        if column != "through":
            continue
        where = f"{race} on {resource} through Staleguard"
        if cell.doubles:
            wrong.append(f"{where}: {cell.doubles} documents had more than one winner")
        if cell.orphans:
            wrong.append(f"{where}: {cell.orphans} documents had no winner")
        if cell.foreign:
            wrong.append(f"{where}: {cell.foreign} documents do not hold the bytes they should")
        if cell.lost:
            wrong.append(f"{where}: {cell.lost} of {cell.acknowledged} acknowledged keys are lost")
        if cell.unexpected:
            wrong.append(f"{where}: {sum(cell.unexpected.values())} unexpected answers")
    for race in RACES:
        straight = [cells["straight", race, resource] for resource in RESOURCES]
        if not any(cell.doubles or cell.lost for cell in straight):
            wrong.append(f"{race} never went wrong straight: its other column proves nothing")
    return wrong


def at_least(low):
    def parse(text):
        number = int(text)
        if number < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}")
        return number

    return parse


def header(text):
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("must look like 'Name: value'")
    return name.strip(), value.strip()


def main():
    parser = argparse.ArgumentParser(
        description="Three races on the documents of an LRS, straight and through Staleguard."
    )
    parser.add_argument("--straight", required=True, metavar="URL", help="the LRS itself")
    parser.add_argument("--through", required=True, metavar="URL", help="Staleguard before it")
    parser.add_argument("--version", default="2.0.0", help="X-Experience-API-Version (%(default)s)")
    parser.add_argument("--base", default="", metavar="PATH", help="before every path, as /xapi")
    parser.add_argument("--documents", type=at_least(1), default=25, help="per cell (%(default)s)")
    parser.add_argument("--writers", type=at_least(2), default=8, help="at a time (%(default)s)")
    parser.add_argument(
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="one more header of every request",
    )
    options = parser.parse_args()

    headers = [("X-Experience-API-Version", options.version), *options.header]
    run = uuid.uuid4().hex[:12]
    cells = {}
    began = time.monotonic()
    try:
        straight = Target("straight", options.straight, options.base, headers)
        through = Target("through", options.through, options.base, headers)
        for race in RACES:
            for resource in RESOURCES:
                for target in (straight, through):
                    step = f"races: {race} on {resource}, {target.name}"
                    print(step, file=sys.stderr, flush=True)
                    cells[target.name, race, resource] = run_cell(
                        race, resource, target, straight, options, run
                    )
    except Unable as error:
        print(f"races: could not be run: {error}", file=sys.stderr)
        return 2
    took = time.monotonic() - began

    print(f"{options.documents} documents per line, {options.writers} writers each, {took:.0f} s")
    print()
    for line in table(cells, options):
        print(line)
    print()
    seen = False
    for (column, race, resource), cell in sorted(cells.items()):
        for what, number in sorted(cell.unexpected.items()):
            seen = True
            print(f"unexpected answer: {column}, {race} on {resource}: {what}: {number} times")
    if not seen:
        print("unexpected answers: none")

    wrong = verdict(cells)
    for sentence in wrong:
        print(f"FAILED: {sentence}")
    if not wrong:
        print("OK: exactly one winner everywhere and no key lost through Staleguard")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
