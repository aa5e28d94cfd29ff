"""Ids, digests and HMAC signatures of a record, from the wire format's own words."""

import base64
import hashlib
import hmac

from tests.oracle.canonical_json import canonical_bytes

Record = dict[str, object]


def pcs_id(merkle_root: str, epoch: int, shard_id: str) -> str:
    text = merkle_root + "|" + str(epoch) + "|" + shard_id
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def signing_input(record: Record) -> bytes:
    return b"fractal-lba/pcs/1\n" + canonical_bytes(without(record, ["sig", "delivery"]))


def record_digest(record: Record) -> str:
    return hashlib.sha256(signing_input(record)).hexdigest()


def content_digest(record: Record) -> str:
    left_out = ["sig", "delivery", "kid", "created_at", "ft", "meta", "r", "budget"]
    content = b"fractal-lba/content/1\n" + canonical_bytes(without(record, left_out))
    return hashlib.sha256(content).hexdigest()


def hmac_signature(record: Record, secret: bytes) -> str:
    tag = hmac.new(secret, signing_input(record), hashlib.sha256).digest()
    return base64.b64encode(tag).decode("ascii")


def without(record: Record, names: list[str]) -> Record:
    return {name: value for name, value in record.items() if name not in names}
