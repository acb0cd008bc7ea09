"""PyPI's tincan: a document whose `etag` is set is written and deleted with If-Match.

The library never sets it: an application takes it from the answer. And save_state sends its PUT
twice; what it gives back is the answer to the second.

The same program as driver.mjs and what is built on it. `pypi_tincan.py URL PACKAGES VERSION`.
"""

import json
import sys
import traceback

URL, PACKAGES, VERSION = sys.argv[1:]
sys.path.insert(0, PACKAGES)

# pylint: disable=wrong-import-position
from tincan import Activity, Agent, RemoteLRS, Version  # noqa: E402
from tincan.documents import (  # noqa: E402
    ActivityProfileDocument,
    AgentProfileDocument,
    StateDocument,
)

if VERSION:
    Version.supported.append(VERSION)  # it accepts those alone that it knows
LRS = RemoteLRS(
    endpoint=URL + "/", username="player", password="secret", version=VERSION or None
)

# resource: how its calls are named, its kind of document, and what is said beside its id
KINDS = {
    "activities/state": ("state", StateDocument, ("activity", "agent")),
    "activities/profile": ("activity_profile", ActivityProfileDocument, ("activity",)),
    "agents/profile": ("agent_profile", AgentProfileDocument, ("agent",)),
}


def owners(call):
    """What is said beside the document's id."""
    given = {"activity": Activity(id=call["activity"]), "agent": Agent(**call["agent"])}
    return {name: given[name] for name in KINDS[call["resource"]][2]}


class Calls:
    """What the client can do."""

    etag = None

    def done(self, verb, call, etag=None):
        """Saves or deletes a document made by hand, as an application that has read none does."""
        name, kind, _ = KINDS[call["resource"]]
        document = kind(id=call["id"], etag=etag, **owners(call))
        if "contents" in call:
            document.content = json.dumps(call["contents"])
            document.content_type = "application/json"
        answer = getattr(LRS, f"{verb}_{name}")(document)
        note = f"{verb}_{name}"
        if etag is not None:
            note += " etag"
        if note.startswith("save_state"):
            note += " (sent twice)"
        return {"status": answer.response.status, "note": note}

    def create(self, call):
        return self.done("save", call)

    overwrite = create

    def read(self, call):
        name = KINDS[call["resource"]][0]
        given = owners(call)
        given["state_id" if name == "state" else "profile_id"] = call["id"]
        answer = getattr(LRS, f"retrieve_{name}")(**given)
        self.etag = answer.response.getheader("ETag")
        said = {"status": answer.response.status, "note": f"retrieve_{name}"}
        if answer.response.status == 200:
            said["contents"] = json.loads(answer.content.content)
        return said

    def update(self, call):
        return self.done("save", call, self.etag)

    def delete_what_was_read(self, call):
        return self.done("delete", call, self.etag)

    def delete(self, call):
        return self.done("delete", call)


def main():
    calls = Calls()
    for line in sys.stdin:
        call = json.loads(line)
        try:
            said = getattr(calls, call["call"].replace(" ", "_"))(call)
        except Exception:  # pylint: disable=broad-except # whatever the library throws is told
            said = {"error": traceback.format_exc()}
        told = {"client": "tincan (PyPI)", "resource": call["resource"], "call": call["call"]}
        print(json.dumps(told | said), flush=True)


main()
