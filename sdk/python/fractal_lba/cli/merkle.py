"""``merkle prove`` and ``merkle verify``: that a row was in the window of a record.

A proof is one JSON object::

    {"v": 1, "profile", "leaf": base64, "leaf_index", "leaves", "path": [hex, …], "merkle_root"}

``path`` leads from the leaf to the root, from the bottom up (RFC 9162 section 2.1.3). It shows one
leaf and hashes, nothing else of the window.
"""

import base64
import re
import struct
from pathlib import Path
from typing import Final

import click
import msgspec

from fractal_lba.cli.streams import Refused, Unusable, read_input, shown, write_json
from fractal_lba.command.usage import epilog
from fractal_lba.protocol import (
    RECORD_DEPTH_MAX,
    ContractError,
    JsonValue,
    Profile,
    Record,
    Refusal,
    parse_json,
    parse_record,
)
from fractal_lba.protocol.described import described
from fractal_lba.protocol.merkle import (
    inclusion_proof,
    leaf_hash,
    merkle_root,
    verify_inclusion,
)
from fractal_lba.protocol.strict_base64 import decode_base64

FORMAT: Final = 1

# 65,536 rows of 4,096 doubles, and a header.
_WINDOW_BYTES_MAX: Final = 65_536 * 4_096 * 8 + 65_536
_RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
# A row of 4,096 doubles in base64 and 16 hashes.
_PROOF_BYTES_MAX: Final = 256 * 1024
_CHUNK: Final = 64
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ENDINGS: Final = {".npy": Profile.POINTS, ".bin": Profile.BYTES}


@described
class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a leaf stands in a tree."""

    profile: Profile
    leaf: str
    leaf_index: int
    leaves: int
    path: tuple[str, ...]
    merkle_root: str
    v: int = FORMAT


@click.group(
    "merkle",
    short_help="Show that a row was in the window of a record.",
    epilog=epilog(
        examples=[
            "fractal-lba merkle prove 000000000001-PCS_ID.npy --at 7 > proof.json",
            "fractal-lba merkle verify proof.json --record 000000000001-PCS_ID.json",
        ],
        exit_codes={0: "done, or shown", 1: "the input was read and is refused", 2: "unusable"},
    ),
)
def merkle() -> None:
    """Prove that a row or some bytes were in the window a record was made of, and check it."""


@merkle.command(
    "prove",
    epilog=epilog(
        examples=[
            "fractal-lba merkle prove kept/000000000001-PCS_ID.npy --at 7 > proof.json",
            "fractal-lba merkle prove window.csv --profile points/1 --at 0 > proof.json",
            "fractal-lba merkle prove answer.txt --profile bytes/1 --at 130 > proof.json",
        ],
        exit_codes={
            0: "printed",
            1: "WINDOW was read and is no window, or has no such row",
            2: "WINDOW or an option cannot be used, or numpy is not installed",
        },
    ),
)
@click.argument("window")
@click.option(
    "--at",
    required=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="The row, or the byte whose chunk of 64 is shown, counted from 0.",
)
@click.option(
    "--profile",
    type=click.Choice([profile.value for profile in Profile]),
    help="How to read WINDOW; not needed for the .npy and .bin files that an agent keeps.",
)
def prove(*, window: str, at: int, profile: str | None) -> None:
    """Print the proof of one row, or one chunk, of the window in a file (- for standard input)."""
    read_as = _ENDINGS.get(Path(window).suffix) if profile is None else Profile(profile)
    if read_as is None:
        raise click.UsageError("--profile: expected one, as the name does not end in .npy or .bin")
    leaves = _leaves(window, read_as)
    index = at if read_as is Profile.POINTS else at // _CHUNK
    try:
        path = inclusion_proof(leaves, index)
    except ContractError as error:
        what = "rows" if read_as is Profile.POINTS else f"chunks of {_CHUNK} bytes"
        raise Refused(
            f"--at: expected one of {len(leaves)} {what}, counted from 0, got {at}"
        ) from error
    proof = Proof(
        profile=read_as,
        leaf=base64.b64encode(leaves[index]).decode(),
        leaf_index=index,
        leaves=len(leaves),
        path=tuple(each.hex() for each in path),
        merkle_root=merkle_root(leaves).hex(),
    )
    write_json(msgspec.to_builtins(proof))


@merkle.command(
    "verify",
    epilog=epilog(
        examples=[
            "fractal-lba merkle verify proof.json --record record.json",
            "fractal-lba merkle verify - --record record.json < proof.json",
        ],
        exit_codes={
            0: "the row was in the window of the record",
            1: "PROOF or the record was read and does not show it",
            2: "a file or an option cannot be used",
        },
    ),
)
@click.argument("proof")
@click.option(
    "--record",
    "record_path",
    required=True,
    metavar="FILE",
    help="The record; its signature is what fractal-lba verify checks.",
)
def verify(*, proof: str, record_path: str) -> None:
    """Check that the row in PROOF was in the window of a record, and print the row."""
    given = _proof(proof)
    record = _record(record_path)
    try:
        leaf = decode_base64(given.leaf)
    except ContractError as error:
        raise Refused(f"{shown(proof)}: {error}") from error
    if not all(map(_HASH.fullmatch, (*given.path, given.merkle_root))):
        raise Refused(f"{shown(proof)}: expected hashes of 64 lower-case hex digits, got others")
    path = [bytes.fromhex(each) for each in given.path]
    _check_shape(given, leaf, record, shown(proof))
    try:
        verify_inclusion(
            root=bytes.fromhex(record.merkle_root),
            size=given.leaves,
            index=given.leaf_index,
            leaf_hash=leaf_hash(leaf),
            proof=path,
        )
    except ContractError as error:
        raise Refused(f"{shown(proof)}: {error}") from error
    found: dict[str, JsonValue] = {
        "pcs_id": record.pcs_id,
        "shard_id": record.shard_id,
        "epoch": record.epoch,
        "in_window": True,
    }
    if given.profile is Profile.POINTS:
        found |= {"row": given.leaf_index, "values": list(struct.unpack(f"<{record.d}d", leaf))}
    else:
        found |= {"byte": given.leaf_index * _CHUNK, "bytes": given.leaf}
    write_json(found)


def _leaves(window: str, profile: Profile) -> list[bytes]:
    try:
        # numpy may be missing where the SDK was installed bare.
        from fractal_lba.cli.tables import read_table  # noqa: PLC0415
        from fractal_lba.signals.window import (  # noqa: PLC0415
            byte_leaves,
            check_bytes,
            check_points,
            point_leaves,
        )
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise Unusable("numpy is not installed; run: pip install 'fractal-lba[cli]'") from error
    data = read_input(window, _WINDOW_BYTES_MAX)
    try:
        if profile is Profile.BYTES:
            return list(byte_leaves(check_bytes(data)))
        return list(point_leaves(check_points(read_table(data))))
    except ContractError as error:
        raise Refused(f"{shown(window)}: {error}") from error


def _proof(name: str) -> Proof:
    try:
        members = parse_json(read_input(name, _PROOF_BYTES_MAX), depth_max=RECORD_DEPTH_MAX)
        return msgspec.convert(members, type=Proof)
    except Refusal as error:
        raise Refused(f"{shown(name)}: {error}") from error
    except msgspec.ValidationError as error:
        raise Refused(f"{shown(name)}: expected a proof, got something else") from error


def _record(name: str) -> Record:
    try:
        return parse_record(read_input(name, _RECORD_BYTES_MAX))
    except ContractError as error:
        raise Refused(f"{shown(name)}: {error}") from error


def _check_shape(proof: Proof, leaf: bytes, record: Record, where: str) -> None:
    """Check that a proof is one about a window of the record's shape.

    The root alone does not say how many leaves are under it, nor how long they are.
    """
    if proof.v != FORMAT:
        raise Refused(f"{where}: expected format {FORMAT}, got {proof.v}")
    is_points = record.profile is Profile.POINTS
    leaves = record.n if is_points else -(-record.n // _CHUNK)
    is_last = proof.leaf_index == leaves - 1
    size = 8 * record.d if is_points else record.n - _CHUNK * (leaves - 1) if is_last else _CHUNK
    if (proof.profile, proof.leaves, len(leaf)) != (record.profile, leaves, size):
        raise Refused(
            f"{where}: expected a leaf of {size} bytes, one of {leaves} of {record.profile},"
            f" got {len(leaf)}, one of {proof.leaves} of {proof.profile}"
        )
