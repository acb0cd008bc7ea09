#!/usr/bin/env python3
"""Ends a pod while clients write, in one of the orders in which Kubernetes does, and looks for what was lost.

It runs in the pod's network. Clients count in a few documents through Staleguard: they read, add one, and write with
If-Match. The LRS is a stand-in that ignores preconditions on State and keeps a journal of what it carried out. What has to
hold, whoever ends when: each acknowledged write is in the journal; each entry of the journal counts one on from the
entry before it, so that no update was overwritten unseen; and Staleguard ends by itself with exit code 0.
"""

import argparse
import http.client
import json
import socket
import subprocess
import sys
import threading
import time

PROXY, LRS = "lrs-staleguard", "lrs-lrs"
ADDRESS, ADMIN = ("127.0.0.1", 8080), ("127.0.0.1", 9901)
COUNTERS, CLIENTS = 3, 6
PATIENCE = 60
VERSION = {"X-Experience-API-Version": "1.0.3", "Content-Type": "application/json"}
AGENT = "%7B%22mbox%22%3A%22mailto%3Aa%40example.com%22%7D"


def podman(*arguments, check=True):
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    if check and done.returncode != 0:
        sys.exit(f"podman {' '.join(arguments)} failed: {done.stderr}")
    return done


def target(name):
    return f"/xapi/activities/state?activityId=http%3A%2F%2Fexample.com%2F{name}&agent={AGENT}&stateId=count"


def wait_for(what, condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"pod: waited in vain: {what}")
        time.sleep(0.02)


class Clients:
    """Who counts, and what each was told."""

    def __init__(self):
        self.acknowledged, self.refused, self.failed = [], 0, 0
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.count, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def count(self, number):
        name, serial = f"counter-{number % COUNTERS}", 0
        connection = http.client.HTTPConnection(*ADDRESS, timeout=PATIENCE)
        while not self.ended.is_set():
            serial += 1
            who = f"{number}-{serial}"
            try:
                status = self.increment(connection, name, who)
            except (OSError, http.client.HTTPException):
                connection.close()
                status = None
                time.sleep(0.02)
            with self.lock:
                if status == 204:
                    self.acknowledged.append((name, who))
                elif status == 412:
                    self.refused += 1
                else:
                    self.failed += 1

    @staticmethod
    def increment(connection, name, who):
        connection.request("GET", target(name), None, VERSION)
        answer = connection.getresponse()
        body, tag = answer.read(), answer.headers["ETag"]
        if answer.status == 404:
            count, condition = 0, {"If-None-Match": "*"}
        elif answer.status == 200:
            count, condition = json.loads(body)["count"], {"If-Match": tag}
        else:
            return answer.status
        document = json.dumps({"count": count + 1, "by": who})
        connection.request("PUT", target(name), document, VERSION | condition)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def until(self, many):
        wait_for(f"{many} acknowledged writes", lambda: len(self.acknowledged) >= many)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


class Upload:
    """A write that has begun and whose body is not there yet."""

    def __init__(self):
        self.body = b'{"count": 1, "by": "upload"}'
        head = f"PUT {target('upload')} HTTP/1.1\r\nHost: lrs\r\nContent-Length: {len(self.body)}\r\n"
        fields = "".join(f"{name}: {value}\r\n" for name, value in (VERSION | {"If-None-Match": "*"}).items())
        self.socket = socket.create_connection(ADDRESS, PATIENCE)
        self.socket.sendall((head + fields + "Expect: 100-continue\r\n\r\n").encode())
        self.input = self.socket.makefile("rb")
        # It is asked for its body: from here on the exchange is under way.
        assert self.input.readline().split()[1] == b"100" and self.input.readline() == b"\r\n"

    def finish(self):
        self.socket.sendall(self.body)
        status = int(self.input.readline().split()[1])
        fields = dict(line.decode().strip().lower().split(": ", 1) for line in iter(self.input.readline, b"\r\n"))
        return status, fields


def is_draining():
    connection = http.client.HTTPConnection(*ADMIN, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 503
    except OSError:
        return True


def exit_code(container):
    return int(podman("wait", container).stdout)


def lrs_first(clients):
    """As with a native sidecar: SIGTERM to the LRS, and to Staleguard once that is gone."""
    upload = Upload()
    podman("kill", "--signal", "TERM", LRS)
    exit_code(LRS)
    podman("kill", "--signal", "TERM", PROXY)
    wait_for("the drain", is_draining)
    status, fields = upload.finish()
    print(f"pod: a write that found no LRS while draining: {status}, Retry-After: {fields.get('retry-after')}", file=sys.stderr)
    assert status == 503 and int(fields["retry-after"]) > 0, (status, fields)
    assert fields["proxy-status"].startswith("staleguard"), fields
    clients.end()


def drain_first(clients, drain):
    """As the preStop hooks have it: Staleguard drains while the LRS is there, and then the LRS ends."""
    upload = Upload()
    hook = subprocess.Popen(["podman", "exec", PROXY, *drain], stderr=subprocess.PIPE, text=True)
    wait_for("the drain", is_draining)
    status, fields = upload.finish()
    assert status == 204, (status, fields)
    # The container ends with what is under way; the hook that waits for that in it may end with it.
    code, said = hook.wait(PATIENCE), hook.stderr.read()
    assert code in (0, 137, 255), (code, said)
    clients.end()
    exit_code(PROXY)
    podman("kill", "--signal", "TERM", LRS)
    exit_code(LRS)


def judge(clients):
    lines = podman("logs", LRS).stdout.splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("[")]
    counted, carried_out = {}, set()
    for where, body in entries:
        document = json.loads(body)
        last = counted.get(where, 0)
        assert document["count"] == last + 1, f"an update was overwritten: {last} and then {document} at {where}"
        counted[where] = document["count"]
        carried_out.add((where, document["by"]))
    lost = [each for each in clients.acknowledged if (target(each[0]), each[1]) not in carried_out]
    print(
        f"pod: {len(clients.acknowledged)} acknowledged, {clients.refused} refused, {clients.failed} without success, "
        f"{len(entries)} carried out, {len(lost)} lost",
        file=sys.stderr,
    )
    assert not lost, lost
    assert clients.refused > 0, "clients raced"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("order", choices=["lrs-first", "drain-first"])
    parser.add_argument("--drain", help="the file with the command of the preStop hook, a word a line")
    arguments = parser.parse_args()
    clients = Clients()
    try:
        clients.until(100)
        if arguments.order == "lrs-first":
            lrs_first(clients)
        else:
            with open(arguments.drain, encoding="utf-8") as file:
                drain_first(clients, file.read().split())
    finally:
        clients.end()
    code = exit_code(PROXY)
    assert code == 0, f"Staleguard's exit code is {code}"
    judge(clients)


if __name__ == "__main__":
    main()
