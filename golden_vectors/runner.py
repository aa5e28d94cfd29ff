"""The Python SDK before the vectors: each file's cases in, what is wrong out.

A file, a flag or a field it does not know is an error: a runner that passes over what it does not
know has tested less than it says.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from golden_vectors import answers, exchanges
from golden_vectors.answers import Expected, Given, Refused
from golden_vectors.exchanges import Serve, nowhere

FOLDER: Final = Path(__file__).parent
SCHEMA_VERSION: Final = 1
HEADER: Final = frozenset(
    {"schema", "schemaVersion", "algorithm", "specification", "numberOfTests", "notes", "tests"}
)
CASE: Final = frozenset({"tcId", "comment", "flags", "input", "result", "expected"})
BODY: Final = "body trailing_spaces"
# Deflate implementations differ: r is compared within this, and the budget by its share of it.
R_TOLERANCE: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What the runner knows of one file: the SDK's answer, and every field and flag.

    Attributes:
        answer: ``None`` where a server has to be asked.
    """

    answer: Callable[[Given], Expected] | None
    fields: frozenset[str]
    flags: frozenset[str]


def _suite(answer: Callable[[Given], Expected] | None, fields: str, flags: str) -> Suite:
    return Suite(answer=answer, fields=frozenset(fields.split()), flags=frozenset(flags.split()))


SUITES: Final = {
    "canonical": _suite(
        answers.canonical_json,
        "document",
        "Rfc8785Example Rfc8785AppendixB Rfc8259Example NumberText StringText NameOrder WhiteSpace "
        "Structure",
    ),
    "json_refusals": _suite(
        answers.json_refusals,
        "layer document",
        "Rfc3629 Rfc8259 Rfc7493 Encoding Depth Grammar Trailing NumberLength NumberOverflow "
        "Surrogate Duplicate Precedence Accepted",
    ),
    "ids": _suite(answers.ids, "merkle_root epoch shard_id", "FirstPrototype Epoch ShardId Root"),
    "digests": _suite(answers.digests, BODY, "FirstPrototype SameContent SameRecord OtherContent"),
    "records_1_0": _suite(
        answers.records_1_0,
        BODY,
        "FirstPrototype Rfc3339 Rfc4648 Gregorian Sound Bound PastBound Type Missing Unknown "
        "Format ClosedSet Spelling Version PcsId Size Json TwoFaults",
    ),
    "records_0_1": _suite(
        answers.records_0_1,
        f"keyring tenant accepts_legacy {BODY} received_at",
        "FirstPrototype Rfc4231 Rfc8032 Spelling NoSpelling Escape NumberText Rounding Unsigned "
        "Signed Check Spoiled ExactEdge Key Validity Version Sound Bound PastBound Type Missing "
        "Format Json Size PcsId TwoFaults",
    ),
    "outcomes": _suite(
        answers.outcomes,
        BODY,
        "BoxCounting Alone Together DHat Budget ExactEdge Consistency Regime Rounding Median",
    ),
    "signing_ed25519": _suite(
        answers.signing_ed25519,
        "seed public message signature",
        "Rfc8032 Sound Changed Length ScalarNotReduced NonCanonicalKey NonCanonicalR SmallOrderKey "
        "SmallOrderR CofactorOnly MixedOrder NotOnCurve",
    ),
    "signing_hmac": _suite(
        answers.signing_hmac, "secret message tag", "Rfc4231 KeyLength Truncated Changed"
    ),
    "keyrings": _suite(
        answers.keyrings,
        "keyring",
        "Rfc8032 Sound Json Member Twice LegacyCount SecretLength WeakKey Pair Time",
    ),
    "signing_records": _suite(
        answers.signing_records,
        "keyring body trailing_spaces received_at",
        "Rfc8032 Rfc4231 Sound Key Missing Length Mismatch Unsigned Validity Order Version",
    ),
    "signals_points": _suite(
        answers.signals_points,
        "seed scales rows rows_bits",
        "BoxCounting Series Plane Space Projected SeedAndScales Magnitude CellBorder Regime "
        "Refused",
    ),
    "signals_bytes": _suite(
        answers.signals_bytes,
        "seed scales data",
        "BoxCounting Text Leaves Series SeedAndScales Refused",
    ),
    "merkle_roots": _suite(
        answers.merkle_roots, "leaves", "CertificateTransparency Sha256 Shape Leaf Order"
    ),
    "merkle_inclusion": _suite(
        answers.merkle_inclusion,
        "size index leaf_hash root proof",
        "CertificateTransparency Rfc9162Example EveryIndex Changed WrongPlace WrongCount "
        "WrongLength",
    ),
    "merkle_consistency": _suite(
        answers.merkle_consistency,
        "size1 size2 root1 root2 proof",
        "CertificateTransparency Rfc9162Example Grown Equal Empty Changed WrongPlace WrongCount "
        "WrongLength",
    ),
    "ring": _suite(
        answers.ring,
        "shards tenant pcs_id",
        "Karger DefaultSet Wrapped OnAPoint Tie Weighted ShardMore Tenant Refused",
    ),
    "http_exchanges": _suite(
        None,
        "keyring settings requests",
        "Rfc9110 Rfc9112 Rfc9457 Rfc6750 FirstPrototype Decided Repeated Conflict Refused "
        "Identity Legacy Head Bounds Batch Read Listing Resolution Operations NoHttp",
    ),
}


def answer(name: str, given: Given, serve: Serve = nowhere) -> tuple[str, Expected]:
    """Return the SDK's result and what it expects, in the terms of the file ``name``."""
    asked = SUITES[name].answer
    try:
        return "valid", exchanges.answered(given, serve) if asked is None else asked(given)
    except Refused as refused:
        return "invalid", refused.expected


def files(folder: Path = FOLDER) -> list[Path]:
    """Return every file of vectors in a folder."""
    return sorted(folder.glob("*.json"))


def failures(path: Path, serve: Serve = nowhere) -> list[str]:
    """Return what is wrong with a file or with the SDK, a line for each; none if all is well.

    ``serve`` starts what ``http_exchanges.json`` asks.
    """
    suite = SUITES.get(path.stem)
    if suite is None:
        return [f"{path.name}: a file this runner does not know"]
    document = json.loads(path.read_text(encoding="utf-8"))
    found = [f"{path.name}: {line}" for line in _header_failures(path.stem, suite, document)]
    for place, case in enumerate(document["tests"], start=1):
        wrong = _case_failures(path.stem, place, case, serve)
        found += [f"{path.name} {place}: {line}" for line in wrong]
    return found


def _header_failures(name: str, suite: Suite, document: dict[str, Any]) -> list[str]:
    found = [f"field {field}" for field in sorted(document.keys() ^ HEADER)]
    if document["schemaVersion"] != SCHEMA_VERSION:
        found.append(f"schemaVersion {document['schemaVersion']}")
    if document["schema"] != f"schemas/{name}.schema.json":
        found.append(f"schema {document['schema']}")
    if document["numberOfTests"] != len(document["tests"]):
        found.append(f"{len(document['tests'])} tests, not {document['numberOfTests']}")
    used = {flag for case in document["tests"] for flag in case["flags"]}
    notes = document["notes"].keys()
    found += [f"flag {flag} is not known here" for flag in sorted(notes - suite.flags)]
    found += [f"flag {flag} is not both used and explained" for flag in sorted(notes ^ used)]
    return found


def _case_failures(name: str, place: int, case: dict[str, Any], serve: Serve) -> list[str]:
    suite = SUITES[name]
    found = [f"field {field}" for field in sorted(case.keys() ^ CASE)]
    found += [f"input field {field}" for field in sorted(case["input"].keys() ^ suite.fields)]
    if found:
        return found
    if case["tcId"] != place:
        found.append(f"tcId {case['tcId']}")
    result, given = answer(name, case["input"], serve)
    if result != case["result"] or not agrees(given, case["expected"]):
        expected = {key: case["expected"].get(key) for key in case["expected"]}
        found.append(
            f"{case['comment']}: expected {case['result']} {expected}, got {result} {given}"
        )
    return found


def agrees(given: Expected, expected: Expected) -> bool:
    """Return whether an answer is the expected one: exactly, but for what deflate decides."""
    if given == expected:
        return True
    if "answers" in given:
        return exchanges.agrees(given, expected)
    if given.keys() != expected.keys() or "r" not in given:
        return False
    others = given.keys() - {"r", "budget"}
    near = abs(float(given["r"]["text"]) - float(expected["r"]["text"])) <= R_TOLERANCE
    also = abs(float(given["budget"]["text"]) - float(expected["budget"]["text"])) <= R_TOLERANCE
    return near and also and all(given[name] == expected[name] for name in others)
