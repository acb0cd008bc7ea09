"""What is asked of the proxies."""

from dataclasses import dataclass

# A document of xAPI's State, one for each connection and each number; SIZE stands for how large it is.
STATE = (
    "/SIZE/xapi/activities/state?activityId=http%3A%2F%2Fexample.org%2Fcourse"
    "&agent=%7B%22mbox%22%3A%22mailto%3Alearner{}-{n}%40example.org%22%7D&stateId=bookmark"
)
# A document of a rule of one's own, and something that no rule stands for.
NOTES = "/SIZE/docs/{}-{n}"
PLAIN = "/SIZE/plain/{}-{n}"
STALE = '"0000000000000000000000000000000000000000"'
FIELDS = ("Authorization: Basic eDp5", "X-Experience-API-Version: 1.0.3")


@dataclass(frozen=True)
class Case:
    """One kind of request, and what comes of it."""

    name: str
    title: str
    target: str
    method: str = "GET"
    if_match: str | None = None
    # Whether each write is to a document that was read a moment before, and so is recalled.
    warm: bool = False
    exclusive: bool = False
    # Whether all requests of a connection are for one document.
    alone: bool = True
    expect: int = 200

    def arguments(self, size, straight=False):
        """What the load is told, for the proxy that guards or, straight, for one that does not."""
        target = self.target.replace("SIZE", str(size))
        if self.alone:
            target = target.replace("-{n}", "")
        words = [target, "--method", self.method]
        for field in FIELDS:
            words += ["--field", field]
        if self.method == "PUT":
            words += ["--document", str(size)]
            words += ["--expect", str(204 if straight else self.expect)]
        if self.if_match:
            words += ["--if-match", self.if_match]
        return words


# A write is recalled only over what was read, and it withdraws that: each has a document of its own.
WARM = {"warm": True, "exclusive": True, "alone": False}

CASES = {
    case.name: case
    for case in (
        Case("relayed-get", "GET relayed", PLAIN),
        Case("guarded-get-xxh3", "GET guarded, XXH3", NOTES),
        Case("guarded-get-sha1", "GET guarded, SHA-1", STATE),
        Case("relayed-put", "PUT relayed", PLAIN, "PUT", expect=204),
        Case("warm-put", "PUT guarded, recalled", NOTES, "PUT", "learned", expect=204, **WARM),
        Case("warm-put-sha1", "PUT guarded, recalled, SHA-1", STATE, "PUT", "learned", expect=204, **WARM),
        Case("probed-put", "PUT guarded, asked before", NOTES, "PUT", "learned", expect=204),
        Case("refused-put", "PUT refused from memory", NOTES, "PUT", STALE, exclusive=True, expect=412),
    )
}
