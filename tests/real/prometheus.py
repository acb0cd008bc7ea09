#!/usr/bin/env python3
"""Holds the alerts and the dashboard to Prometheus and to what the program exports.

What has to hold: promtool's checks and unit tests of the rules pass, and each alert has a test in which it fires and one in
which it does not; every metric that a rule, a test or a panel names is exported, and so is every label that it names on
it, and every verdict and mode; promtool finds nothing in the metrics; and a Prometheus that scrapes them answers every
query, without an alert of its own that should not be there.
"""

import argparse
import json
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

NAME = re.compile(r"\bstaleguard_[a-z_]+\b")
SELECTED = re.compile(r"\b(staleguard_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
BY = re.compile(r"\bby \(([^)]*)\)")
# What Prometheus itself puts on every series.
OF_SCRAPE = {"job", "instance"}
PATIENCE = 60


class Wrong(Exception):
    """What does not hold, in a sentence."""


def must(holds, what):
    if not holds:
        raise Wrong(what)


# Whose certificate the proxy shows.
TRUST = ssl.create_default_context()


def fetch(url, method="GET", body=None, **fields):
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=TRUST) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def traffic(proxy):
    """Writes that reach each verdict which a rule names."""
    version = {"X_Experience_API_Version": "1.0.3", "Content_Type": "application/json"}
    profile = f"{proxy}/xapi/activities/profile?activityId=http%3A%2F%2Fexample.com&profileId="
    state = (
        f"{proxy}/xapi/activities/state?activityId=http%3A%2F%2Fexample.com&stateId=a"
        "&agent=%7B%22mbox%22%3A%22mailto%3Aa%40example.com%22%7D"
    )
    for target, statuses in [(profile + "a", (204, 412, 412, 409, 412)), (state, (204,) * 5)]:
        for number, conditions in enumerate([
            {"If_None_Match": "*"}, {"If_None_Match": "*"}, {"If_Match": '"stale"'}, {}, {"If_Match": "\"open"},
        ]):
            body = json.dumps({"number": number}).encode()
            status, _, _ = fetch(target, "PUT", body, **version, **conditions)
            must(status == statuses[number], f"PUT {target} with {conditions}: {status}")
    _, fields, _ = fetch(profile + "a", **version)
    for _ in range(2):
        status, _, _ = fetch(profile + "a", "PUT", b"{}", **version, If_Match=fields["ETag"])
        must(status == 204, f"a write and its replay: {status}")


def samples(text):
    """Every series, as its name and its labels."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found = re.match(r"(\w+)(?:\{(.*?)\})? ", line)
            yield found[1], dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))


def plain(text):
    """OpenMetrics in the older text format, which promtool reads: there a family is called as its samples are."""
    suffixes = {"counter": "_total", "info": "_info"}
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    lines = []
    for line in text.splitlines():
        found = re.match(r"# (TYPE|HELP) (\w+) (.*)", line)
        if found:
            kind, name, rest = found.groups()
            name += suffixes.get(kinds[name], "")
            lines.append(f"# {kind} {name} {'gauge' if (kind, rest) == ('TYPE', 'info') else rest}")
        elif not line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def tool(promtool, *arguments, stdin=None):
    done = subprocess.run([promtool, *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False)
    must(done.returncode == 0, f"promtool {' '.join(arguments)}:\n{done.stdout}{done.stderr}")


def known(where, expression, exported):
    """Whether everything that a query names is there."""
    names = set(NAME.findall(expression))
    must(names, f"{where} names no metric of ours: {expression}")
    for name in names:
        must(name in exported, f"{where} names {name}, which is not exported")
    for name, inside in SELECTED.findall(expression):
        for label, comparison, value in MATCHER.findall(inside):
            if label in OF_SCRAPE:
                continue
            must(label in exported[name], f"{where} names the label {label}, which {name} does not have")
            if label in ("mode", "verdict") and comparison in ("=", "=~"):
                for each in value.split("|"):
                    must(each in exported[name][label], f"{where} names {label} {each}, which {name} did not take")
    labels = {label for name in names for label in exported[name]}
    for inside in BY.findall(expression):
        for label in re.split(r",\s*", inside.strip()):
            must(label in labels | OF_SCRAPE, f"{where} groups by {label}, which none of {names} has")


def alerts(config):
    """Each alert of the rules with its query, as written: there is no parser of YAML in every Python."""
    text = (config + "/prometheus/rules.yml")
    with open(text, encoding="utf-8") as file:
        blocks = re.split(r"^ {6}- alert: ", file.read(), flags=re.M)[1:]
    for block in blocks:
        name = block.split("\n", 1)[0]
        query = re.search(r"^ {8}expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", block, re.M)
        yield name, (query[1] or query[2])


def tested(config, names):
    with open(config + "/prometheus/rules_test.yml", encoding="utf-8") as file:
        text = file.read()
    cases = re.findall(r"- alertname: (\w+)\n\s+eval_time: .*\n\s+exp_alerts:( \[\])?", text)
    for name in names:
        kinds = {bool(empty) for case, empty in cases if case == name}
        must(False in kinds, f"there is a test in which {name} fires")
    return text


def panels(config):
    with open(config + "/grafana/staleguard.json", encoding="utf-8") as file:
        dashboard = json.load(file)
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield f"the panel {panel['title']!r}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"the variable {variable['name']!r}", re.search(r"label_values\((.*),", variable["definition"])[1]


def asked(prometheus, path, **parameters):
    status, _, text = fetch(f"{prometheus}{path}?{urllib.parse.urlencode(parameters)}")
    must(status == 200, f"{path} {parameters}: {text}")
    return json.loads(text)["data"]


def scraped(prometheus, queries, names):
    until = time.monotonic() + PATIENCE
    while True:
        try:
            done = asked(prometheus, "/api/v1/query", query="min_over_time(up[1m]) == 1 and count_over_time(up[1m]) >= 3")
            if done["result"]:
                break
        except (OSError, Wrong) as error:
            must(time.monotonic() < until, f"Prometheus answers: {error}")
        must(time.monotonic() < until, "Prometheus scrapes three times")
        time.sleep(0.2)
    stored = set(asked(prometheus, "/api/v1/label/__name__/values"))
    must(names <= stored, f"Prometheus stores {names - stored}")
    for where, query in queries:
        # Grafana's variables, as it would fill them in.
        filled = query.replace("$__rate_interval", "1m").replace("$job", "lrs").replace("$instance", ".*")
        asked(prometheus, "/api/v1/query", query=filled)
        must("$" not in filled, f"{where} has variables that are known: {query}")
    groups = asked(prometheus, "/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    must(rules and all(rule["health"] == "ok" for rule in rules), f"rules are evaluated: {rules}")
    active = {rule["name"] for rule in rules if rule["state"] != "inactive"}
    # The traffic was refused and observed on purpose, and these two wait for longer than this test runs.
    must(active <= {"StaleguardConflictsMany", "StaleguardWouldRefuse"}, f"nothing else is wrong: {active}")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--promtool", "--config", "--proxy", "--authority", "--admin", "--prometheus"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    config, promtool = arguments.config, arguments.promtool
    TRUST.load_verify_locations(arguments.authority)
    try:
        tool(promtool, "check", "rules", config + "/prometheus/rules.yml")
        tool(promtool, "test", "rules", config + "/prometheus/rules_test.yml")
        rules = dict(alerts(config))
        must(len(rules) > 5, "the rules are read")
        tests = tested(config, rules)
        traffic(arguments.proxy)
        text = fetch(arguments.admin + "/metrics")[2]
        tool(promtool, "check", "metrics", stdin=plain(text))
        exported = {}
        for name, labels in samples(text):
            of_name = exported.setdefault(name, {})
            for label, value in labels.items():
                of_name.setdefault(label, set()).add(value)
        queries = [(f"the alert {name}", query) for name, query in rules.items()] + list(panels(config))
        for where, query in queries:
            known(where, query, exported)
        for name, inside in SELECTED.findall(tests):
            known(f"the test's series of {name}", f"{name}{{{inside}}}", {
                **exported,
                # What a test makes up of a label's values is its own affair.
                name: {label: {v for _, _, v in MATCHER.findall(inside)} for label in exported.get(name, {})},
            } if name in exported else exported)
        used = {name for _, query in queries for name in NAME.findall(query)}
        scraped(arguments.prometheus, queries, used)
    except Wrong as wrong:
        print(f"prometheus: this does not hold: {wrong}", file=sys.stderr)
        return 1
    print(f"prometheus: {len(rules)} alerts and {len(queries) - len(rules)} queries name {len(used)} metrics, and all are there", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
