#!/usr/bin/env python3
"""Writes documents through a Staleguard in a container, from several clients at a time.

Each client counts in one of a few documents: it reads, adds one, and writes with If-Match. What has to hold: each
acknowledged increment is in the document, stale writes were refused by Staleguard, and documents are as large as
the container's memory can bear without being killed for it.
"""

import argparse
import http.client
import json
import sys
import threading

COUNTERS, CLIENTS, ROUNDS = 4, 8, 40
PADDING = "x" * 100_000
VERSION = {"X-Experience-API-Version": "1.0.3"}


def target(name):
    return f"/xapi/activities/profile?activityId=http%3A%2F%2Fexample.com%2Fa&profileId={name}"


class Client:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=30)

    def send(self, method, name, document=None, **fields):
        body = None if document is None else json.dumps(document)
        headers = VERSION | {key.replace("_", "-"): value for key, value in fields.items()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, target(name), body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()


def count(address, name, who, told):
    client = Client(address)
    for _ in range(ROUNDS):
        status, fields, body = client.send("GET", name)
        assert status == 200 and fields["ETag"], (status, dict(fields))
        # Without something of its own, two clients that raise 1 to 2 look like one that asks twice: a replay.
        document = {"count": json.loads(body)["count"] + 1, "by": who, "padding": PADDING}
        status, fields, body = client.send("PUT", name, document, If_Match=fields["ETag"])
        assert status in (204, 412), (status, body)
        assert status == 204 or "staleguard" in fields["Proxy-Status"], dict(fields)
        told.append(status)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    address = parser.parse_args().address
    client = Client(address)
    names = [f"counter-{number}" for number in range(COUNTERS)]
    for name in names:
        status, _, body = client.send("PUT", name, {"count": 0}, If_None_Match="*")
        assert status == 204, (status, body)
    told = {name: [] for name in names}
    clients = [
        threading.Thread(target=count, args=(address, name, who, told[name]))
        for who, name in enumerate(names * (CLIENTS // COUNTERS))
    ]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    lost, refused = 0, 0
    for name in names:
        status, _, body = client.send("GET", name)
        assert len(told[name]) == ROUNDS * CLIENTS // COUNTERS, f"a client of {name} failed"
        lost += told[name].count(204) - json.loads(body)["count"]
        refused += told[name].count(412)
    status, fields, _ = client.send("PUT", names[0], {"count": -1})
    assert status == 409 and "staleguard" in fields["Proxy-Status"], (status, dict(fields))
    print(f"{sum(map(len, told.values()))} increments, {refused} refused, {lost} lost", file=sys.stderr)
    return lost != 0


if __name__ == "__main__":
    sys.exit(main())
