"""Records of version 1.0: each member at its bounds and one past, and faults two at a time."""

import itertools
from collections.abc import Mapping
from typing import Any, Final

from golden_vectors.generator.bodies import (
    ABSENT,
    LEGACY_PCS_ID,
    Members,
    bent,
    body,
    full,
    judged,
    named,
    sound,
    text,
)
from golden_vectors.generator.files import Note, Refusal, VectorFile
from golden_vectors.generator.records_tables import HELD, ORDER, REFUSED, TWICE, WRONG

NOTES: Final = {
    "FirstPrototype": Note(
        explanation="The id that the first prototype's golden record states for its Merkle root, "
        "epoch and stream.",
        source="The golden record of version 0.1 (pcs_tiny_case_1)",
    ),
    "Rfc3339": Note(
        explanation="The sample timestamps of the RFC: real times, but not the one spelling "
        "of a record, which has three decimals, Z, and no leap second.",
        source="RFC 3339, section 5.8",
    ),
    "Rfc4648": Note(
        explanation="The sample base64 texts: sound, but of no signature's length.",
        source="RFC 4648, section 10",
    ),
    "Gregorian": Note(
        explanation="Leap years: 2000 and 2024 are, 2100 and 2023 are not.",
        source="ISO 8601 and RFC 3339, appendix C",
    ),
    "Sound": Note(explanation="Records nothing is wrong with, in several shapes."),
    "Bound": Note(explanation="A member at a bound of its range, which is inclusive."),
    "PastBound": Note(explanation="A member one past a bound."),
    "Type": Note(explanation="A member of another JSON type; null is no value of any member."),
    "Missing": Note(explanation="A member that must be there is not."),
    "Unknown": Note(explanation="A member the table does not have, at each level."),
    "Format": Note(explanation="A string that does not match its pattern."),
    "ClosedSet": Note(explanation="A string outside a closed set."),
    "Spelling": Note(
        explanation="Other spellings of the same numbers and members: the record is the same."
    ),
    "Version": Note(explanation="The version is checked before the other members."),
    "PcsId": Note(explanation="A pcs_id that is not that of its window."),
    "Size": Note(explanation="Bodies of 65,536 bytes, which are read, and of one more."),
    "Json": Note(explanation="Bodies that are no strict JSON, or no object."),
    "TwoFaults": Note(
        explanation="Bodies that are wrong in two ways at once: the first in the order of refusals "
        "is named."
    ),
}


def records_file() -> VectorFile:
    """Return the cases of ``records_1_0.json``."""
    made = VectorFile(
        name="records_1_0",
        algorithm="The structure of a record, version 1.0; no key is asked for",
        specification="specs/pcs.md, sections 1, 1.2 and 1.3",
        notes=NOTES,
    )
    stated = {"pcs_id": LEGACY_PCS_ID}
    made.valid("the id of the golden record", "FirstPrototype", body(text(sound())), **stated)
    add_published(made)
    add_sound(made)
    for comment, flag, path, value in HELD:
        made.valid(comment, flag, body(text(fitting(bent(full(), {path: value})))))
    for comment, flag, path, value, refusal in REFUSED:
        refuse(made, comment, flag, bent(full(), {path: value}), ("invalid_record", *refusal))
    add_missing(made)
    add_documents(made)
    add_sizes(made)
    add_two_faults(made)
    return made


def refuse(
    made: VectorFile, comment: str, flag: str, members: Mapping[str, Any], refusal: Refusal
) -> None:
    """Add a record that must be refused."""
    made.refused(comment, flag, body(text(members)), refusal)


def fitting(members: Members) -> Members:
    """Return members whose pcs_id fits, and whose cells fit a small window."""
    most = members["n"] - 2 if members["d"] == 1 else members["n"]
    if any(cells > most for cells in members["N_j"].values()):
        members = bent(members, {"N_j": dict.fromkeys(members["N_j"], 1)})
    return named(members)


def add_published(made: VectorFile) -> None:
    """Add what the RFCs give as samples."""
    for sample in (
        "1985-04-12T23:20:50.52Z",
        "1996-12-19T16:39:57-08:00",
        "1990-12-31T23:59:60Z",
        "1990-12-31T15:59:60-08:00",
        "1937-01-01T12:00:27.87+00:20",
    ):
        refusal: Refusal = ("invalid_record", "wrong_format", "created_at")
        refuse(made, sample, "Rfc3339", sound(created_at=sample), refusal)
    for sample in ("Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"):
        refusal = ("invalid_record", "wrong_length", "sig")
        refuse(made, sample, "Rfc4648", sound(sig=sample), refusal)
    for day, exists in (
        ("2000-02-29", True),
        ("2024-02-29", True),
        ("2100-02-29", False),
        ("2023-02-29", False),
    ):
        members = sound(created_at=f"{day}T00:00:00.000Z")
        if exists:
            made.valid(day, "Gregorian", body(text(members)))
        else:
            refusal = ("invalid_record", "wrong_format", "created_at")
            refuse(made, day, "Gregorian", members, refusal)


def add_sound(made: VectorFile) -> None:
    """Add records of several shapes, and other spellings of one."""
    made.valid("every optional member", "Sound", body(text(full())))
    series = judged({2: 2, 4: 4}, coh_star=0.5, r=1.0, d=1, n=66, profile="bytes/1")
    made.valid("a window of bytes", "Sound", body(text(series)))
    ten = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024]
    members = sound(scales=ten, N_j={str(scale): 1 for scale in ten})
    made.valid("ten scales to 1,024", "Bound", body(text(members)))
    made.valid("two scales", "Bound", body(text(sound(scales=[3, 7], N_j={"3": 1, "7": 1}))))
    # Both numbers of a window beside each other: n - 2 points for a series, n for a table.
    for d, most in ((1, 8), (2, 10)):
        cells = {"2": 1, "4": most}
        members = sound(n=10, d=d, scales=[2, 4], N_j=cells)
        made.valid(f"N_j of {most} where n is 10 and d is {d}", "Bound", body(text(members)))
        members = bent(members, {"N_j.4": most + 1})
        refusal: Refusal = ("invalid_record", "out_of_range", "N_j.4")
        refuse(made, f"N_j of {most + 1} where n is 10, d {d}", "PastBound", members, refusal)
    document = text(full())
    for comment, old, new in (
        ("epoch as 1.0", b'"epoch":1,', b'"epoch":1.0,'),
        ("epoch as 10e-1", b'"epoch":1,', b'"epoch":10e-1,'),
        ("clock_skew_ms as -0", b'"clock_skew_ms":0', b'"clock_skew_ms":-0'),
        ("coh_star with more digits", b"0.12,", b"0.1200000000000000000000001,"),
        ("an escaped name", b'"epoch"', rb'"\u0065poch"'),
        ("an escaped value", b"points/1", rb"points\/1"),
        ("n as 1e3", b'"n":1000', b'"n":1e3'),
    ):
        assert old in document  # noqa: S101 - else the case says nothing
        made.valid(comment, "Spelling", body(document.replace(old, new, 1)))
    turned = dict(reversed(full().items()))
    made.valid("members in reverse", "Spelling", body(text(turned)))
    spaced = text(full()).replace(b",", b" ,\r\n\t")
    made.valid("white space between members", "Spelling", body(spaced))


def add_missing(made: VectorFile) -> None:
    """Add records without a member, and with one of another type."""
    inner: tuple[str, ...] = ("ft.degraded", "ft.fallbacks", "ft.clock_skew_ms")
    inner += ("delivery.attempt", "delivery.sent_at", "delivery.outbox_seq", "N_j.8")
    for path in ("version", *ORDER, *inner):
        if path not in {"meta", "delivery", "sig"}:
            refusal: Refusal = ("invalid_record", "missing", path)
            refuse(made, f"no {path}", "Missing", bent(full(), {path: ABSENT}), refusal)
    for path in ("version", *ORDER, *inner):
        refusal = ("invalid_record", "wrong_type", path)
        refuse(made, f"{path} is null", "Type", bent(full(), {path: None}), refusal)


def add_documents(made: VectorFile) -> None:
    """Add bodies that are no record at all, and other versions."""
    for comment, document, refusal in (
        ("nothing", b"", ("malformed_json", "syntax", None)),
        ("an array", text([full()]), ("invalid_record", "not_an_object", None)),
        ("null", b"null", ("invalid_record", "not_an_object", None)),
        ("a string", b'"1.0"', ("invalid_record", "not_an_object", None)),
        ("two records", text(full()) * 2, ("malformed_json", "trailing_data", None)),
        (
            "a byte order mark",
            b"\xef\xbb\xbf" + text(full()),
            ("bad_encoding", "byte_order_mark", None),
        ),
        ("nine levels", text(full(meta=[[[[[[[[]]]]]]]])), ("malformed_json", "too_deep", None)),
        ("eight levels", text(full(meta=[[[[[[[]]]]]]])), ("invalid_record", "wrong_type", "meta")),
        ("an empty object", b"{}", ("invalid_record", "missing", "version")),
    ):
        made.refused(comment, "Json", body(document), refusal)
    another: Refusal = ("unsupported_version", "unsupported_version", "version")
    for version in ("", "1", "1.00", "1.1", "2.0", " 1.0", "v1.0"):
        refuse(made, f"version {version!r}", "Version", sound(version=version), another)
    typed: Refusal = ("invalid_record", "wrong_type", "version")
    for comment, other in (("1.0 as a number", 1.0), ("in an array", ["1.0"]), ("true", True)):
        refuse(made, f"version {comment}", "Version", sound(version=other), typed)
    mismatch: Refusal = ("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")
    for path, value in (("merkle_root", "0" * 64), ("epoch", 2), ("shard_id", "test-shard-002")):
        refuse(made, f"another {path}", "PcsId", sound(**{path: value}), mismatch)
    refuse(made, "another pcs_id", "PcsId", sound(pcs_id="f" * 64), mismatch)


def add_sizes(made: VectorFile) -> None:
    """Add bodies at the limit and past it; the spaces count."""
    document = text(full())
    room = 65_536 - len(document)
    made.valid("65,536 bytes", "Size", body(document, room))
    too_large = ("too_large", "record_too_large", None)
    made.refused("65,537 bytes", "Size", body(document, room + 1), too_large)
    made.refused("65,537 spaces", "Size", body(b"", 65_537), too_large)


def add_two_faults(made: VectorFile) -> None:
    """Add bodies wrong in two ways: neighbours in the table, and one of each step."""
    for first, second in itertools.pairwise(ORDER):
        changes = {second: WRONG[second][0], first: WRONG[first][0]}
        refusal: Refusal = ("invalid_record", WRONG[first][1], WRONG[first][2])
        refuse(made, f"{first} and {second}", "TwoFaults", bent(full(), changes), refusal)
    for first, second in (("schema", "sig"), ("epoch", "meta"), ("scales", "v_star")):
        changes = {second: WRONG[second][0], first: WRONG[first][0]}
        refusal = ("invalid_record", WRONG[first][1], WRONG[first][2])
        refuse(made, f"{first} and {second}", "TwoFaults", bent(full(), changes), refusal)
    for comment, changes, refusal in TWICE:
        refuse(made, comment, "TwoFaults", bent(full(), changes), refusal)
    duplicate = text(full()).replace(b'"schema"', b'"version"')
    refusal = ("malformed_json", "duplicate_member", None)
    made.refused("a duplicate and no schema", "TwoFaults", body(duplicate), refusal)
    other = text(full(version="0.2"))[:-1] + b"} x"
    refusal = ("malformed_json", "trailing_data", None)
    made.refused("more after another version", "TwoFaults", body(other), refusal)
    refusal = ("too_large", "record_too_large", None)
    made.refused("too large and no UTF-8", "TwoFaults", body(b"\xff", 65_536), refusal)
    huge = text(full()).replace(b'"epoch":1,', b'"epoch":1e400,"epoch":1,')
    refusal = ("malformed_json", "number_overflow", None)
    made.refused("an overflow and a duplicate", "TwoFaults", body(huge), refusal)
