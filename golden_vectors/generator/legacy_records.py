"""Records of version 0.1: what old agents signed, whose it is, and what is decided."""

import itertools
from typing import Final

from golden_vectors.generator.bodies import ABSENT, LEGACY_PCS_ID, bent, named, text
from golden_vectors.generator.files import Note, Refusal, VectorFile
from golden_vectors.generator.keys import OTHER, SECRET, base64_of, ring
from golden_vectors.generator.legacy_bodies import (
    PUBLISHED_TEXT,
    SOUND,
    copy_of,
    given,
    old,
    old_ed25519,
    old_hmac,
    refuse,
    signed,
    signed_by_ed25519,
)
from golden_vectors.generator.legacy_spellings import add_near_misses, add_spellings, add_texts
from golden_vectors.generator.legacy_tables import ORDER, REFUSED, SPOILED, TWICE, UNSIGNED, WRONG
from golden_vectors.generator.published_keys import RFC4231
from golden_vectors.generator.signing import MISMATCH

NOTES: Final = {
    "FirstPrototype": Note(
        explanation="The first prototype's golden record to the byte, signed with the HMAC key "
        "testsecret.",
        source="The golden record of version 0.1 (pcs_tiny_case_1)",
    ),
    "Rfc4231": Note(
        explanation="A record signed with the key of the RFC's test case 2, of 4 bytes.",
        source="RFC 4231, section 4.3 (the key)",
    ),
    "Rfc8032": Note(
        explanation="A record signed with the seed of the RFC's TEST 1.",
        source="RFC 8032, section 7.1 (the key)",
    ),
    "Spelling": Note(
        explanation="Each spelling of the closed list: four of HMAC, two of Ed25519. The digest is "
        "that of spelling 1 in all of them."
    ),
    "NoSpelling": Note(explanation="What one could take for a spelling, and is on no list."),
    "Escape": Note(
        explanation="Strings beyond ASCII: each UTF-16 unit is signed as an escape in lower case; "
        "quote and backslash are escaped, the solidus is not."
    ),
    "NumberText": Note(
        explanation="Numbers as Python's repr and as ECMAScript write them. The budget bears them, "
        "which may be any number."
    ),
    "Rounding": Note(
        explanation="The four signed numbers are rounded to 9 decimals before anything else."
    ),
    "Unsigned": Note(
        explanation="What is not signed is another: digest, stored bytes and verdict are the same."
    ),
    "Signed": Note(explanation="One of the eight signed members is another."),
    "Check": Note(
        explanation="Checks of signed members, alone and together. Only an outcome that accepts is "
        "remembered."
    ),
    "Spoiled": Note(
        explanation="Copies whose unsigned members do not agree with the signed ones: refused, and "
        "nothing is remembered, so that a relay does not decide for the sender."
    ),
    "ExactEdge": Note(explanation="Differences next to a tolerance, in doubles."),
    "Key": Note(
        explanation="Which keys are tried: those of the tenant named beside the record (default "
        "where none is) that are marked legacy, in the order of the ring."
    ),
    "Validity": Note(explanation="The key's times, both included, at the time of receipt."),
    "Version": Note(explanation="Other versions, and 0.1 where it is switched off."),
    "Sound": Note(explanation="Records nothing is wrong with, in several shapes."),
    "Bound": Note(explanation="A member at a bound of its range, which is inclusive."),
    "PastBound": Note(explanation="A member one past a bound."),
    "Type": Note(explanation="A member of another JSON type."),
    "Missing": Note(explanation="A member that must be there is not."),
    "Format": Note(explanation="A string or a name that is not of the form or set due."),
    "Json": Note(explanation="Bodies that are no strict JSON, or no object."),
    "Size": Note(explanation="Bodies of 65,536 bytes, which are read, and of one more."),
    "PcsId": Note(explanation="A pcs_id that is not that of its window."),
    "TwoFaults": Note(
        explanation="Bodies that are wrong in two ways at once: the first in the order of refusals "
        "is named."
    ),
}

NO_KEY: Final[Refusal] = ("unknown_key", "no_legacy_key", None)
NO_SIGNATURE: Final[Refusal] = ("signature_missing", "signature_missing", "sig")
LENGTH: Final[Refusal] = ("signature_invalid", "signature_length", "sig")
LATE: Final[Refusal] = ("key_not_valid_now", "key_not_valid_now", None)
OFF: Final[Refusal] = ("unsupported_version", "legacy_switched_off", "version")
ANOTHER_ID: Final[Refusal] = ("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")
JEFE: Final = RFC4231[1][0]


def legacy_records_file() -> VectorFile:
    """Return the cases of ``records_0_1.json``."""
    made = VectorFile(
        name="records_0_1",
        algorithm="A record of version 0.1, a keyring, the tenant named beside it, and the time of "
        "receipt: all that follows",
        specification="specs/pcs.md, section 7",
        notes=NOTES,
    )
    add_published(made)
    add_spellings(made)
    add_near_misses(made)
    add_texts(made)
    add_unsigned(made)
    add_signed(made)
    add_checks(made)
    add_keys(made)
    add_versions(made)
    add_structure(made)
    add_two_faults(made)
    return made


def add_published(made: VectorFile) -> None:
    """Add the record of the first prototype, and keys that RFCs print."""
    golden = given(PUBLISHED_TEXT, keyring=ring(old_hmac()))
    stated = {"tenant": "default", "pcs_id": LEGACY_PCS_ID, "status": 200, "reasons": []}
    made.valid("the golden record", "FirstPrototype", golden, **stated, remembered=True)
    made.valid("for its tenant", "FirstPrototype", {**golden, "tenant": "default"}, **stated)
    by_jefe = given(signed(old(), secret=JEFE), keyring=ring(old_hmac(secret=base64_of(JEFE))))
    made.valid("a key of 4 bytes", "Rfc4231", by_jefe, status=200)
    by_seed = given(signed_by_ed25519(old()), keyring=ring(old_ed25519()))
    made.valid("by Ed25519", "Rfc8032", by_seed, status=200, kid="old-2")


def add_unsigned(made: VectorFile) -> None:
    """Add copies that differ in what is not signed: nothing that follows does."""
    sound = made.valid("a sound record", "Sound", given(SOUND), status=200, reasons=[])
    for comment, flag, changes in UNSIGNED:
        made.valid(comment, flag, given(copy_of(changes)), **sound)
    turned = dict(reversed(SOUND.items()))
    made.valid("members in reverse", "Unsigned", given(turned), **sound)
    spaced = text(SOUND).replace(b",", b" ,\r\n\t")
    made.valid("white space", "Unsigned", given(spaced), **sound)
    exponents = text(SOUND).replace(b'"epoch":1,', b'"epoch":10e-1,')
    made.valid("epoch as 10e-1", "Unsigned", given(exponents), **sound)
    for comment, changes, (reason, member) in SPOILED:
        refusal: Refusal = ("unsigned_member_mismatch", reason, member)
        refuse(made, comment, "Spoiled", copy_of(changes), refusal)


def add_signed(made: VectorFile) -> None:
    """Add records in which one signed member is another."""
    for member, value in (
        ("budget", 0.300000001),
        ("coh_star", 0.249999999),
        ("D_hat", 1.000000001),
        ("r", 0.500000001),
        ("epoch", 2),
        ("merkle_root", "0" * 64),
        ("shard_id", "test-shard-002"),
    ):
        changed = named(copy_of({member: value}))
        refuse(made, f"another {member}", "Signed", changed, MISMATCH)
    refuse(made, "another pcs_id", "PcsId", copy_of({"pcs_id": "f" * 64}), ANOTHER_ID)
    for member, value in (("merkle_root", "0" * 64), ("epoch", 2), ("shard_id", "s")):
        refuse(made, f"the id of another {member}", "PcsId", copy_of({member: value}), ANOTHER_ID)


def add_checks(made: VectorFile) -> None:
    """Add verdicts: the signed numbers are at fault, alone and together."""
    for comment, changes, reasons in (
        ("coh_star of 1.05", {"coh_star": 1.05}, []),
        ("coh_star above 1.05", {"coh_star": 1.050000001}, ["coh_star_bounds"]),
        ("coh_star of 1.05 when rounded", {"coh_star": 1.0500000004}, []),
        ("coh_star of 0", {"coh_star": 0}, []),
        ("coh_star below 0", {"coh_star": -1e-9}, ["coh_star_bounds"]),
        ("r of 1", {"r": 1}, []),
        ("r above 1", {"r": 1.000000001}, ["r_bounds"]),
        ("r of 0", {"r": 0}, []),
        ("r below 0", {"r": -1e-9}, ["r_bounds"]),
        ("both", {"coh_star": 2, "r": 2}, ["coh_star_bounds", "r_bounds"]),
        ("a budget off", {"budget": 0.5}, ["budget_deviation"]),
        ("a budget of 2", {"budget": 2}, ["budget_deviation"]),
        ("coh_star and budget", {"coh_star": 2, "budget": 0}, ["coh_star_bounds", BUDGET]),
        ("r and budget", {"r": -1, "budget": 0}, ["r_bounds", BUDGET]),
        ("all three", {"coh_star": -1, "r": 2, "budget": 0.9}, ["coh_star_bounds", *REST]),
    ):
        case = given(signed(old(**changes)))
        accepts = set(reasons) <= {BUDGET}
        status = 422 if not accepts else 202 if reasons else 200
        stated = {"status": status, "reasons": reasons, "remembered": accepts}
        made.valid(comment, "Check", case, **stated)
    # 1.15 - 1 and 0.31 - 0.3 are below the tolerance in doubles, 1 - 0.85 is above it.
    slope: Refusal = ("unsigned_member_mismatch", "d_hat_mismatch", "N_j")
    for number, holds in ((1.15, True), (1.150000001, False), (0.850000001, True), (0.85, False)):
        case = given(signed(old(D_hat=number)))
        if holds:
            made.valid(f"D_hat {number} for 1", "ExactEdge", case, status=200)
        else:
            made.refused(f"D_hat {number} for 1", "ExactEdge", case, slope)
    for number, status in ((0.309999999, 200), (0.310000001, 202), (0.290000001, 200)):
        case = given(signed(old(budget=number)))
        made.valid(f"budget {number} for 0.3", "ExactEdge", case, status=status)
    upper = {"N_j": {"2": 1, "4": 2, "8": 8, "16": 32}, "D_hat": 2.0, "regime": "mixed"}
    made.valid("the upper of the middle two", "Sound", given(signed(old(**upper))), status=200)
    lower = given(signed(old(**{**upper, "D_hat": 1.833333333})))
    made.refused("their mean", "Spoiled", lower, slope)
    for coh_star, d_hat, counts, regime in (
        (0.7, 1.5, {"2": 1, "8": 8}, "sticky"),
        (0.699999999, 1.5, {"2": 1, "8": 8}, "mixed"),
        (0.7, 1.500000001, {"2": 1, "8": 8}, "mixed"),
        (0.7, 2.6, {"2": 1, "4": 6}, "non_sticky"),
        (0.7, 2.599999999, {"2": 1, "4": 6}, "mixed"),
    ):
        scales = [int(scale) for scale in counts]
        members = old(coh_star=coh_star, D_hat=d_hat, scales=scales, N_j=counts, regime=regime)
        record = signed(members)
        made.valid(f"{regime} at {coh_star}, {d_hat}", "ExactEdge", given(record), status=200)


BUDGET: Final = "budget_deviation"
REST: Final = ["r_bounds", BUDGET]


def add_keys(made: VectorFile) -> None:
    """Add rings and tenants: which keys are tried, and when they are valid."""
    lab = old_hmac(kid="lab-1", tenant="lab", secret=base64_of(OTHER))
    both = ring(old_hmac(), lab)
    for_lab = signed(old(), secret=OTHER)
    made.valid("of another tenant", "Key", given(for_lab, keyring=both, tenant="lab"), tenant="lab")
    new = old_hmac(kid="old-0", secret=base64_of(OTHER))
    made.valid("the second key holds", "Key", given(SOUND, keyring=ring(new, old_hmac())))
    twice = ring(old_hmac(kid="old-0"), old_hmac())
    made.valid("of two that hold the first", "Key", given(SOUND, keyring=twice), kid="old-0")
    not_marked = ring(old_hmac(legacy=False, secret=base64_of(SECRET)))
    for comment, record, beside, refusal in (
        ("no tenant is named: default", for_lab, {"keyring": both}, MISMATCH),
        ("the other tenant is named", SOUND, {"keyring": both, "tenant": "lab"}, MISMATCH),
        ("a tenant without a key", SOUND, {"tenant": "acme"}, NO_KEY),
        ("a name that is no tenant", SOUND, {"tenant": "?"}, NO_KEY),
        ("an empty ring", SOUND, {"keyring": ring()}, NO_KEY),
        ("a key for 1.0", signed(old(), secret=SECRET), {"keyring": not_marked}, NO_KEY),
        ("no sig", old(), {}, NO_SIGNATURE),
        ("an empty sig", {**old(), "sig": ""}, {}, NO_SIGNATURE),
        ("32 bytes for Ed25519", SOUND, {"keyring": ring(old_ed25519())}, LENGTH),
        ("64 bytes for HMAC", signed_by_ed25519(old()), {"keyring": ring(old_hmac())}, LENGTH),
        ("no key and no sig", old(), {"keyring": ring()}, NO_KEY),
        ("another id and no key", copy_of({"epoch": 2}), {"keyring": ring()}, ANOTHER_ID),
    ):
        made.refused(comment, "Key", given(record, **beside), refusal)
    bounds = {"not_before": "2026-11-01T00:00:00.000Z", "not_after": "2026-11-30T23:59:59.999Z"}
    timed = ring(old_hmac(**bounds))
    for received_at, is_valid in (
        ("2026-10-31T23:59:59.999Z", False),
        ("2026-11-01T00:00:00.000Z", True),
        ("2026-11-30T23:59:59.999Z", True),
        ("2026-12-01T00:00:00.000Z", False),
    ):
        case = given(SOUND, keyring=timed, received_at=received_at)
        if is_valid:
            made.valid(f"received {received_at}", "Validity", case, status=200)
        else:
            made.refused(f"received {received_at}", "Validity", case, LATE)
    late = {"keyring": ring(old_hmac(not_after="2020-01-01T00:00:00.000Z"))}
    spoiled = copy_of({"regime": "sticky"})
    made.refused("a late key and another regime", "TwoFaults", given(spoiled, **late), LATE)
    forged = given(copy_of({"budget": 0.5}), **late)
    made.refused("a late key and a forgery", "TwoFaults", forged, MISMATCH)


def add_versions(made: VectorFile) -> None:
    """Add other versions, and 0.1 where it is not taken."""
    another: Refusal = ("unsupported_version", "unsupported_version", "version")
    for version in ("", "0", "0.10", "0.2", "00.1", "v0.1", "0.1 "):
        record = copy_of({"version": version})
        refuse(made, f"version {version!r}", "Version", record, another)
    typed: Refusal = ("invalid_record", "wrong_type", "version")
    refuse(made, "0.1 as a number", "Version", copy_of({"version": 0.1}), typed)
    for comment, record, refusal in (
        ("switched off", SOUND, OFF),
        ("switched off, and a wrong member", copy_of({"pcs_id": 7}), OFF),
        ("switched off, and no sig", old(), OFF),
        ("switched off, another version", copy_of({"version": "0.2"}), another),
    ):
        made.refused(comment, "Version", given(record, accepts_legacy=False), refusal)


def add_structure(made: VectorFile) -> None:
    """Add members at and past their bounds, missing ones, and bodies that are no record."""
    for comment, changes in (
        ("epoch 0", {"epoch": 0}),
        ("epoch 2^53-1", {"epoch": 2**53 - 1}),
        ("shard_id of one letter", {"shard_id": " "}),
        ("shard_id of 128", {"shard_id": "s" * 128}),
    ):
        made.valid(comment, "Bound", given(signed(old(**changes))), status=200)
    for comment, flag, path, value, (reason, member) in REFUSED:
        refusal: Refusal = ("invalid_record", reason, member)
        refuse(made, comment, flag, copy_of({path: value}), refusal)
    for member in ("version", *ORDER[:-1]):
        refusal = ("invalid_record", "missing", member)
        refuse(made, f"no {member}", "Missing", copy_of({member: ABSENT}), refusal)
        if member != "version":
            refusal = ("invalid_record", "wrong_type", member)
            refuse(made, f"{member} is null", "Type", copy_of({member: None}), refusal)
    document = text(SOUND)
    for comment, broken, refusal in (
        ("nothing", b"", ("malformed_json", "syntax", None)),
        ("an array", b"[]", ("invalid_record", "not_an_object", None)),
        ("NaN in an unknown member", document[:-1] + b',"x":NaN}', SYNTAX),
        ("a member twice", document[:-1] + b',"epoch":1}', DUPLICATE),
        ("an unknown member twice", document[:-1] + b',"x":1,"x":1}', DUPLICATE),
        ("an unknown member nine levels deep", document[:-1] + b',"x":' + DEEP + b"}", TOO_DEEP),
        ("more after it", document + b"{}", ("malformed_json", "trailing_data", None)),
        ("an unknown member in Latin-1", document[:-1] + b',"x":"\xfc"}', NOT_UTF8),
    ):
        made.refused(comment, "Json", given(broken), refusal)
    deep = document[:-1] + b',"x":' + DEEP[1:-1] + b"}"
    made.valid("an unknown member eight levels deep", "Json", given(deep), status=200)
    room = 65_536 - len(document)
    made.valid("65,536 bytes", "Size", given(document, trailing_spaces=room), status=200)
    too_large = ("too_large", "record_too_large", None)
    past = given(document, trailing_spaces=room + 1)
    made.refused("65,537 bytes", "Size", past, too_large)


DEEP: Final = b"[" * 8 + b"]" * 8
SYNTAX: Final[Refusal] = ("malformed_json", "syntax", None)
DUPLICATE: Final[Refusal] = ("malformed_json", "duplicate_member", None)
TOO_DEEP: Final[Refusal] = ("malformed_json", "too_deep", None)
NOT_UTF8: Final[Refusal] = ("bad_encoding", "invalid_utf8", None)


def add_two_faults(made: VectorFile) -> None:
    """Add bodies wrong in two ways: neighbours in the table, and one of each step."""
    far = (("pcs_id", "sig"), ("shard_id", "merkle_root"), ("N_j", "budget"))
    for first, second in (*itertools.pairwise(ORDER), *far):
        changes = {second: WRONG[second][0], first: WRONG[first][0]}
        refusal: Refusal = ("invalid_record", WRONG[first][1], WRONG[first][2])
        refuse(made, f"{first} and {second}", "TwoFaults", bent(SOUND, changes), refusal)
    for comment, changes, refusal in TWICE:
        refuse(made, comment, "TwoFaults", copy_of(changes), refusal)
    # Signed and unsigned at fault: what is unsigned is the copy's alone.
    regime: Refusal = ("unsigned_member_mismatch", "regime_mismatch", "regime")
    for comment, changes in (
        ("coh_star and regime", {"coh_star": 2, "regime": "non_sticky"}),
        ("budget and regime", {"budget": 0.9, "regime": "non_sticky"}),
        ("r, budget and regime", {"r": 2, "budget": 0.9, "regime": "sticky"}),
    ):
        made.refused(comment, "TwoFaults", given(signed(old(**changes))), regime)
