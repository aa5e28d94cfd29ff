"""``sign``, ``verify`` and ``canonical``: one document in, one answer out."""

import time
from pathlib import Path
from typing import Final

import click

from fractal_lba.cli.streams import (
    EXIT_REFUSED,
    Refused,
    Unusable,
    read_input,
    shown,
    write_json,
    write_output,
)
from fractal_lba.command.usage import epilog
from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol import (
    IN_FORCE,
    JCS_DEPTH_MAX,
    LEGACY_TENANT,
    RECORD_DEPTH_MAX,
    Authenticated,
    ContractError,
    JsonValue,
    Keyring,
    KeyringError,
    Outcome,
    Refusal,
    RefusalCode,
    authenticate,
    canonical,
    format_timestamp,
    judge_any,
    key_member,
    parse_json,
    parse_timestamp,
    pcs_id,
    sent_bytes,
    sign_record,
    stored_bytes,
)

# Far above the 64 KiB of a record, so that a long one is refused as such, and below what a stray
# device or archive would take of the memory.
_RECORD_FILE_BYTES_MAX: Final = 16 * 1024 * 1024
# A document is held some ten times over while it is parsed.
_JSON_BYTES_MAX: Final = 256 * 1024 * 1024

keyring_option = click.option(
    "--keyring",
    "keyring_path",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The keyring file, mode 0600.",
)


def open_keyring(path: Path) -> Keyring:
    """Return the ring in a file.

    Raises:
        Unusable: It cannot be read or breaks a rule.
    """
    try:
        return load_keyring(path)
    except KeyringError as error:
        raise Unusable(str(error)) from error


@click.command(
    "sign",
    short_help="Sign a record and print it in canonical form.",
    epilog=epilog(
        examples=["fractal-lba sign --keyring agent-keyring.json --kid acme-1 draft.json"],
        exit_codes={
            0: "signed",
            1: "RECORD was read and breaks a rule of the record",
            2: "the file, the keyring or the key cannot be used",
        },
    ),
)
@keyring_option
@click.option("--kid", required=True, help="Which key of the ring signs.")
@click.argument("record")
def sign_command(keyring_path: Path, kid: str, record: str) -> None:
    """Sign RECORD and print it in canonical form, with a line end.

    RECORD is a file (or - for standard input) with the members of a record, version 1.0. "kid" and
    "sig" are filled in, whatever stood there; "pcs_id" is computed where it is missing; everything
    else must be there and is checked.
    """
    key = open_keyring(keyring_path).key(kid)
    if key is None:
        raise Unusable(f"{keyring_path}: expected a key of that kid, got none")
    body = read_input(record, _RECORD_FILE_BYTES_MAX)
    try:
        members = parse_json(body, depth_max=RECORD_DEPTH_MAX)
        if not isinstance(members, dict):
            raise Refused(f"{shown(record)}: expected an object, got another value")
        signed = sign_record(_with_pcs_id(members), key)
    except Refusal as refusal:
        raise Refused(_line(record, refusal)) from refusal
    except ContractError as error:  # the key cannot sign
        raise Unusable(str(error)) from error
    sent = stored_bytes(signed) if signed.delivery is None else sent_bytes(signed, signed.delivery)
    write_output(sent + b"\n")


def _with_pcs_id(members: dict[str, JsonValue]) -> dict[str, JsonValue]:
    match members:
        case {"pcs_id": _}:
            return members
        case {"merkle_root": str(root), "epoch": int(epoch), "shard_id": str(shard_id)}:
            return {**members, "pcs_id": pcs_id(root, epoch, shard_id)}
        case _:
            return members  # refused for what is missing


@click.command(
    "verify",
    short_help="Check a record's structure and signature.",
    epilog=epilog(
        examples=[
            "fractal-lba verify --keyring keyring.json record.json",
            "fractal-lba verify --keyring keyring.json --tenant lab old-record.json",
            "fractal-lba verify --keyring keyring.json --at 2026-11-21T06:00:00.000Z record.json",
        ],
        exit_codes={
            0: "structure and signature are valid, whatever the outcome would be",
            1: "they are not, or the key was not valid at TIME",
            2: "the file, the keyring or TIME cannot be used",
        },
    ),
)
@keyring_option
@click.option(
    "--at",
    "at",
    metavar="TIME",
    help="Also require that the key was valid at TIME: YYYY-MM-DDTHH:MM:SS.mmmZ, or now.",
)
@click.option(
    "--tenant",
    default=LEGACY_TENANT,
    show_default=True,
    help="Whose legacy keys a record of version 0.1 is tried with: it names no key.",
)
@click.argument("record")
@click.pass_context
def verify_command(
    context: click.Context, keyring_path: Path, at: str | None, tenant: str, record: str
) -> None:
    """Check the structure and the signature of RECORD, and say what a server would decide.

    RECORD is a file, or - for standard input. Prints one JSON object: "valid", then tenant, key,
    ids, digests and the outcome under the current parameters; or the code and reason of the
    refusal. An outcome that is not accepted is no refusal: the record is valid and says something
    that does not add up.

    Without --at no clock is read and the key's "not_before" and "not_after" are not judged: the
    same record and keyring give the same answer for ever. A server judges them at the time it first
    received the record; give that time (its X-Received-At) to judge as it did.

    A record of version 0.1 has one digest under both names. Most of it is not signed: where the
    outcome is not accepted a server remembers nothing, and where an unsigned member is at fault it
    answers unsigned_member_mismatch.
    """
    at_ms = None if at is None else _time(at)
    keyring = open_keyring(keyring_path)
    body = read_input(record, _RECORD_FILE_BYTES_MAX)
    try:
        found = authenticate(body, keyring, legacy_tenant=tenant)
    except Refusal as refusal:
        write_json({"valid": False, **_refusal(refusal)})
        context.exit(EXIT_REFUSED)
    answer = _answer(found)
    if at_ms is None or found.key.is_valid_at(at_ms):
        write_json({"valid": True, **answer})
        return
    code = RefusalCode.KEY_NOT_VALID_NOW
    detail = f"kid: expected a key valid at {format_timestamp(at_ms)}, got one that is not"
    late = Refusal(code, code.value, detail, member=key_member(found.record))
    write_json({"valid": False, **_refusal(late), **answer})
    context.exit(EXIT_REFUSED)


def _time(text: str) -> int:
    if text == "now":
        return time.time_ns() // 1_000_000
    try:
        return parse_timestamp(text)
    except ContractError as error:
        raise Unusable(f"--at: {error}") from error


def _answer(found: Authenticated) -> dict[str, JsonValue]:
    return {
        "tenant": found.tenant,
        "kid": found.key.kid,
        "alg": found.key.alg.value,
        "pcs_id": found.record.pcs_id,
        "record_digest": found.record_digest,
        "content_digest": found.content_digest,
        "outcome": _outcome(judge_any(found.record, IN_FORCE)),
    }


def _outcome(outcome: Outcome) -> dict[str, JsonValue]:
    return {
        "status": outcome.status,
        "accepted": outcome.accepted,
        "escalated": outcome.escalated,
        "reasons": [reason.value for reason in outcome.reasons],
        "recomputed_D_hat": outcome.recomputed_d_hat,
        "recomputed_budget": outcome.recomputed_budget,
        "params_version": outcome.params_version,
    }


def _refusal(refusal: Refusal) -> dict[str, JsonValue]:
    return {
        "code": refusal.code.value,
        "reason": refusal.reason,
        "member": refusal.member,
        "detail": str(refusal),
    }


def _line(name: str, refusal: Refusal) -> str:
    return f"{shown(name)}: {refusal} ({refusal.code.value}, {refusal.reason})"


@click.command(
    "canonical",
    short_help="Print the canonical bytes of the JSON on standard input.",
    epilog=epilog(
        examples=[
            'echo \'{"b": 1.0, "a": [1e3]}\' | fractal-lba canonical',
            '  prints: {"a":[1000],"b":1}',
        ],
        exit_codes={
            0: "printed",
            1: "the input is not such a value; nothing was printed",
            2: "the input cannot be read, or the output not written",
        },
    ),
)
def canonical_command() -> None:
    """Print the canonical bytes (RFC 8785) of the JSON on standard input, and nothing else.

    Any I-JSON value: no duplicate member, no lone surrogate, numbers that fit a double, at most 64
    objects and arrays inside each other. No line end is added.
    """
    try:
        value = parse_json(read_input("-", _JSON_BYTES_MAX), depth_max=JCS_DEPTH_MAX)
        written = canonical(value)
    except Refusal as refusal:
        raise Refused(_line("-", refusal)) from refusal
    write_output(written)
