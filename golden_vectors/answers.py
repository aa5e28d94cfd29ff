"""What the Python SDK says to the input of a case: one function for each file of vectors.

Each returns what is expected of a valid case and raises `Refused` for an invalid one.
"""

import base64
import re
import struct
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import numpy as np

from fractal_lba.protocol import (
    CURRENT_PARAMS,
    IN_FORCE,
    JCS_DEPTH_MAX,
    LEGACY_TENANT,
    RECORD_DEPTH_MAX,
    ContractError,
    JsonValue,
    Keyring,
    KeyringError,
    LegacyRecord,
    Record,
    Refusal,
    RefusalCode,
    authenticate,
    canonical,
    content_digest,
    decision_body,
    ed25519_public,
    is_remembered,
    judge,
    judge_any,
    merkle_root,
    parse_json,
    parse_keyring,
    parse_record,
    parse_timestamp,
    pcs_id,
    record_digest,
    sign_ed25519,
    sign_hmac,
    signing_input,
    stored_bytes,
    stored_bytes_of,
    verify_consistency,
    verify_ed25519,
    verify_hmac,
    verify_inclusion,
)
from fractal_lba.protocol.keyring import Identity
from fractal_lba.protocol.legacy_signing import spelled_as_ecmascript, spelled_as_python
from fractal_lba.server.core.ring import Ring, RingError, ShardSpec, point_of
from fractal_lba.signals import Summary, summarise_bytes, summarise_points

Given = Mapping[str, Any]
Expected = dict[str, Any]

_DEPTHS: Final = {"jcs": JCS_DEPTH_MAX, "record": RECORD_DEPTH_MAX}
_KEYRING_MESSAGE: Final = re.compile(
    r'(?P<entry>keyring|(?:keys|tokens|certificates)\[\d+\])(?: kid "[^"]*")?'
    r"(?: (?P<member>\w+))?: expected .*"
)
_WINDOW_MESSAGE: Final = re.compile(r"window row (?P<row>\d+), column (?P<column>\d+): expected .*")


class Refused(Exception):  # noqa: N818 - what it is
    """The SDK refuses the input; ``expected`` says how, as a case states it."""

    def __init__(self, **expected: object) -> None:
        super().__init__(str(expected))
        self.expected = expected


def refused(refusal: Refusal) -> NoReturn:
    """Raise what a case states of a refusal."""
    raise Refused(code=str(refusal.code), reason=refusal.reason, member=refusal.member)


def real(value: float) -> dict[str, str]:
    """Return a double by its canonical text and its bits."""
    return {"text": canonical(value).decode(), "bits": struct.pack(">d", value).hex()}


def numbers_of(value: JsonValue) -> list[dict[str, str]]:
    """Return each number of a value in the order of its canonical text."""
    if isinstance(value, Mapping):
        ordered = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return [each for name in ordered for each in numbers_of(value[name])]
    if isinstance(value, list):
        return [each for item in value for each in numbers_of(item)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [real(float(value))]
    return []


def parsed_canonical(document: bytes, depth_max: int) -> Expected:
    """Return the canonical bytes and the numbers of a document."""
    try:
        value = parse_json(document, depth_max=depth_max)
    except Refusal as refusal:
        refused(refusal)
    return {"canonical": canonical(value).hex(), "numbers": numbers_of(value)}


def canonical_json(given: Given) -> Expected:
    """Answer ``canonical.json``."""
    return parsed_canonical(bytes.fromhex(given["document"]), JCS_DEPTH_MAX)


def json_refusals(given: Given) -> Expected:
    """Answer ``json_refusals.json``."""
    return parsed_canonical(bytes.fromhex(given["document"]), _DEPTHS[given["layer"]])


def body_of(given: Given) -> bytes:
    """Return a body: base64, and the spaces that follow it."""
    return base64.b64decode(given["body"]) + b" " * int(given["trailing_spaces"])


def parsed_record(given: Given) -> Record:
    """Return the record of a body, or raise what a case states of one that is refused."""
    try:
        return parse_record(body_of(given))
    except Refusal as refusal:
        refused(refusal)


def records_1_0(given: Given) -> Expected:
    """Answer ``records_1_0.json``: structure alone, no key is asked for."""
    record = parsed_record(given)
    return {"pcs_id": record.pcs_id, "stored": base64.b64encode(stored_bytes(record)).decode()}


def records_0_1(given: Given) -> Expected:
    """Answer ``records_0_1.json``: all that follows from a body, as a server takes it."""
    ring = parsed_keyring(given["keyring"])
    tenant = LEGACY_TENANT if given["tenant"] is None else given["tenant"]
    try:
        found = authenticate(
            body_of(given), ring, legacy_tenant=tenant if given["accepts_legacy"] else None
        )
        if not found.key.is_valid_at(parse_timestamp(given["received_at"])):
            raise Refused(
                code=str(RefusalCode.KEY_NOT_VALID_NOW), reason="key_not_valid_now", member=None
            )
        outcome = judge_any(found.record, IN_FORCE)
        remembered = is_remembered(found.record, outcome)
    except Refusal as refusal:
        refused(refusal)
    record = found.record
    assert isinstance(record, LegacyRecord)  # noqa: S101 - no case is of another version
    assert found.content_digest == found.record_digest  # noqa: S101 - one name for both
    decision = decision_body(
        pcs_id=record.pcs_id, record_digest=found.record_digest, outcome=outcome
    )
    return {
        "tenant": found.tenant,
        "kid": found.key.kid,
        "pcs_id": record.pcs_id,
        "digest": found.record_digest,
        "as_python": base64.b64encode(spelled_as_python(record.signed)).decode(),
        "as_ecmascript": base64.b64encode(spelled_as_ecmascript(record.signed)).decode(),
        "stored": base64.b64encode(stored_bytes_of(record)).decode(),
        "status": outcome.status,
        "reasons": [str(reason) for reason in outcome.reasons],
        "recomputed_budget": real(outcome.recomputed_budget),
        "decision_body": base64.b64encode(decision).decode(),
        "remembered": remembered,
    }


def ids(given: Given) -> Expected:
    """Answer ``ids.json``."""
    made = pcs_id(given["merkle_root"], given["epoch"], given["shard_id"])
    return {"pcs_id": made}


def digests(given: Given) -> Expected:
    """Answer ``digests.json``."""
    members = parsed_record(given).members
    signed = signing_input(members)
    return {
        "signing_input": base64.b64encode(signed).decode(),
        "record_digest": record_digest(signed),
        "content_digest": content_digest(members),
    }


def signature_refused() -> NoReturn:
    """Raise what a case states of a signature that does not hold."""
    raise Refused(code="signature_invalid", reason="signature_mismatch", member="sig")


def signing_ed25519(given: Given) -> Expected:
    """Answer ``signing_ed25519.json``; where a seed is given it must sign to this signature."""
    public, message, signature = (
        bytes.fromhex(given[name]) for name in ("public", "message", "signature")
    )
    if not verify_ed25519(public, message, signature):
        signature_refused()
    if given["seed"] is None:
        return {"public": None, "signature": None}
    seed = bytes.fromhex(given["seed"])
    return {
        "public": ed25519_public(seed).hex(),
        "signature": sign_ed25519(seed, message).hex(),
    }


def signing_hmac(given: Given) -> Expected:
    """Answer ``signing_hmac.json``."""
    secret, message, tag = (bytes.fromhex(given[name]) for name in ("secret", "message", "tag"))
    if not verify_hmac(secret, message, tag):
        signature_refused()
    return {"tag": sign_hmac(secret, message).hex()}


def parsed_keyring(text: str) -> Keyring:
    """Return a ring, or raise what a case states of one that is refused."""
    try:
        return parse_keyring(base64.b64decode(text), nothing_outside)
    except KeyringError as error:
        found = _KEYRING_MESSAGE.fullmatch(str(error))
        if found is None:  # a message of another form names no entry
            raise
        raise Refused(code="keyring_refused", **found.groupdict()) from error


def nothing_outside(where: str) -> bytes:
    """Refuse ``env:`` and ``file:``, which no case has."""
    raise KeyringError(f"expected no {where.partition(':')[0]}, got one")


def identities(found: Mapping[bytes, Identity]) -> list[Expected]:
    """Return whose tokens or certificates these are, in the order of the ring."""
    return [{"tenant": each.tenant, "scopes": sorted(each.scopes)} for each in found.values()]


def keyrings(given: Given) -> Expected:
    """Answer ``keyrings.json``."""
    ring = parsed_keyring(given["keyring"])
    return {
        "keys": [
            {
                "kid": key.kid,
                "tenant": key.tenant,
                "alg": str(key.alg),
                "public": None if key.public is None else key.public.hex(),
                "legacy": key.legacy,
            }
            for key in ring.keys.values()
        ],
        "tokens": identities(ring.tokens),
        "certificates": identities(ring.certificates),
    }


def signing_records(given: Given) -> Expected:
    """Answer ``signing_records.json``: a body, a ring, and the time of receipt."""
    ring = parsed_keyring(given["keyring"])
    try:
        found = authenticate(body_of(given), ring)
    except Refusal as refusal:
        refused(refusal)
    if not found.key.is_valid_at(parse_timestamp(given["received_at"])):
        raise Refused(
            code=str(RefusalCode.KEY_NOT_VALID_NOW), reason="key_not_valid_now", member="kid"
        )
    return {
        "tenant": found.tenant,
        "kid": found.key.kid,
        "record_digest": found.record_digest,
        "content_digest": found.content_digest,
    }


def merkle_roots(given: Given) -> Expected:
    """Answer ``merkle_roots.json``."""
    return {"root": merkle_root([bytes.fromhex(leaf) for leaf in given["leaves"]]).hex()}


def proof_of(given: Given) -> list[bytes]:
    """Return the hashes of a proof."""
    return [bytes.fromhex(each) for each in given["proof"]]


def merkle_inclusion(given: Given) -> Expected:
    """Answer ``merkle_inclusion.json``."""
    try:
        verify_inclusion(
            root=bytes.fromhex(given["root"]),
            size=given["size"],
            index=given["index"],
            leaf_hash=bytes.fromhex(given["leaf_hash"]),
            proof=proof_of(given),
        )
    except ContractError as error:
        raise Refused(code="proof_refused", reason="inclusion", member=None) from error
    return {}


def merkle_consistency(given: Given) -> Expected:
    """Answer ``merkle_consistency.json``."""
    try:
        verify_consistency(
            size1=given["size1"],
            size2=given["size2"],
            root1=bytes.fromhex(given["root1"]),
            root2=bytes.fromhex(given["root2"]),
            proof=proof_of(given),
        )
    except ContractError as error:
        raise Refused(code="proof_refused", reason="consistency", member=None) from error
    return {}


def ring(given: Given) -> Expected:
    """Answer ``ring.json``."""
    shards = [ShardSpec(**each) for each in given["shards"]]
    try:
        owner = Ring(shards).owner_of(given["tenant"], given["pcs_id"])
    except RingError as error:
        raise Refused(code="ring_refused", reason=error.reason, member="shards") from error
    return {"point": f"{point_of(given['tenant'], given['pcs_id']):08x}", "owner": owner}


def signals_points(given: Given) -> Expected:
    """Answer ``signals_points.json``; the text and the bits of each value must agree."""
    rows = []
    for texts, bits in zip(given["rows"], given["rows_bits"], strict=True):
        values = struct.unpack(f">{len(bits) // 16}d", bytes.fromhex(bits))
        assert [float(text) for text in texts] == list(values) or "NaN" in texts  # noqa: S101 - one window in two spellings
        rows.append(values)
    try:
        made = summarise_points(np.array(rows), seed=given["seed"], scales=given["scales"])
    except ContractError as error:
        window_refused(error)
    return summary(made)


def signals_bytes(given: Given) -> Expected:
    """Answer ``signals_bytes.json``."""
    data = base64.b64decode(given["data"])
    try:
        made = summarise_bytes(data, seed=given["seed"], scales=given["scales"])
    except ContractError as error:
        window_refused(error)
    return summary(made)


def window_refused(error: ContractError) -> NoReturn:
    """Raise what a case states of a window that cannot be summarised: the first bad value."""
    found = _WINDOW_MESSAGE.fullmatch(str(error))
    row, column = (None, None) if found is None else (int(found["row"]), int(found["column"]))
    raise Refused(code="window_refused", row=row, column=column)


def summary(made: Summary) -> Expected:
    """Return every value that a record takes from its window."""
    return {
        "profile": made.profile,
        "n": made.n,
        "d": made.d,
        "merkle_root": made.merkle_root,
        "N_j": {str(scale): cells for scale, cells in made.n_j.items()},
        "D_hat": real(made.d_hat),
        "coh_star": real(made.coh_star),
        "v_star": [real(component) for component in made.v_star],
        "r": real(made.r),
        "regime": str(made.regime),
        "budget": real(made.budget),
    }


def outcomes(given: Given) -> Expected:
    """Answer ``outcomes.json``: the verdict on a record whose signature is not asked for."""
    record = parsed_record(given)
    outcome = judge(record, CURRENT_PARAMS)
    digest = record_digest(signing_input(record.members))
    body = decision_body(pcs_id=record.pcs_id, record_digest=digest, outcome=outcome)
    slope = outcome.recomputed_d_hat
    return {
        "status": outcome.status,
        "accepted": outcome.accepted,
        "escalated": outcome.escalated,
        "reasons": [str(reason) for reason in outcome.reasons],
        "recomputed_D_hat": None if slope is None else real(slope),
        "recomputed_budget": real(outcome.recomputed_budget),
        "params_version": outcome.params_version,
        "decision_body": base64.b64encode(body).decode(),
    }
