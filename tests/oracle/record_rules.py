"""Whether a body is a record of version 1.0: every rule of the format, in its order."""

import base64
import binascii
import string
from collections.abc import Callable
from datetime import date
from typing import NoReturn

from tests.oracle.records import pcs_id
from tests.oracle.refusal import Refused
from tests.oracle.strict_json import parse

Members = dict[str, object]

BYTES_MAX = 65_536
SAFE = 2**53 - 1
ALPHANUMERIC = string.ascii_letters + string.digits
NAME_CHARACTERS = ALPHANUMERIC + "._-"
REGIMES = ("sticky", "mixed", "non_sticky")
ABSENT = object()


def document_of(body: bytes) -> Members:
    """Return the members of the one object a body holds, every number a float."""
    if len(body) > BYTES_MAX:
        raise Refused("too_large", "record_too_large")
    value = parse(body, 8)
    if not isinstance(value, dict):
        raise Refused("invalid_record", "not_an_object")
    return value


def record_of(body: bytes) -> Members:
    """Return the members of a sound record."""
    members = document_of(body)
    version = members.get("version", ABSENT)
    if text(version, "version") != "1.0":
        raise Refused("unsupported_version", "unsupported_version", "version")
    for name, rule in RULES:
        rule(members.get(name, ABSENT), name, members)
    no_others(members, ["version", *[name for name, _ in RULES]], "")
    root, shard_id = members["merkle_root"], members["shard_id"]
    epoch = whole(members["epoch"], "epoch", 0, SAFE)
    if members["pcs_id"] != pcs_id(str(root), epoch, str(shard_id)):
        raise Refused("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")
    return members


def refuse(reason: str, member: str) -> NoReturn:
    raise Refused("invalid_record", reason, member)


def shown(name: str) -> str:
    tame = 1 <= len(name) <= 64 and all(letter in NAME_CHARACTERS for letter in name)
    return name if tame else "?"


def no_others(members: Members, known: list[str], path: str) -> None:
    others = [name for name in members if name not in known]
    if others:
        refuse("unknown_member", path + shown(min(others, key=lambda n: n.encode("utf-16-be"))))


# Types


def text(value: object, member: str) -> str:
    if value is ABSENT:
        refuse("missing", member)
    if not isinstance(value, str):
        refuse("wrong_type", member)
    return value


def number(value: object, member: str, least: float, most: float) -> float:
    if value is ABSENT:
        refuse("missing", member)
    if not isinstance(value, float):
        refuse("wrong_type", member)
    if value < least or value > most:
        refuse("out_of_range", member)
    return value


def whole(value: object, member: str, least: int, most: int) -> int:
    if isinstance(value, float) and (not value.is_integer() or abs(value) > SAFE):
        refuse("not_an_integer", member)
    return int(number(value, member, least, most))


def boolean(value: object, member: str) -> bool:
    if value is ABSENT:
        refuse("missing", member)
    if not isinstance(value, bool):
        refuse("wrong_type", member)
    return value


def array(value: object, member: str, least: int, most: int) -> list[object]:
    if value is ABSENT:
        refuse("missing", member)
    if not isinstance(value, list):
        refuse("wrong_type", member)
    if not least <= len(value) <= most:
        refuse("wrong_count", member)
    return value


def mapping(value: object, member: str) -> Members:
    if value is ABSENT:
        refuse("missing", member)
    if not isinstance(value, dict):
        refuse("wrong_type", member)
    return value


def spelled(value: object, member: str, letters: str, least: int, most: int) -> None:
    word = text(value, member)
    if not least <= len(word) <= most or any(letter not in letters for letter in word):
        refuse("wrong_format", member)


def short(value: object, member: str, most: int) -> None:
    if len(text(value, member).encode("utf-8")) > most:
        refuse("too_long", member)


def one_of(value: object, member: str, choices: tuple[str, ...]) -> None:
    if text(value, member) not in choices:
        refuse("wrong_value", member)


def timestamp(value: object, member: str) -> None:
    word = text(value, member)
    pattern = "dddd-dd-ddTdd:dd:dd.dddZ"
    if len(word) != len(pattern):
        refuse("wrong_format", member)
    for letter, wanted in zip(word, pattern, strict=True):
        if letter not in (string.digits if wanted == "d" else wanted):
            refuse("wrong_format", member)
    hour, minute, second = int(word[11:13]), int(word[14:16]), int(word[17:19])
    if int(word[:4]) < 1970 or hour > 23 or minute > 59 or second > 59:
        refuse("wrong_format", member)
    try:
        date(int(word[:4]), int(word[5:7]), int(word[8:10]))
    except ValueError:
        refuse("wrong_format", member)


# Members


def schema(value: object, member: str, _: Members) -> None:
    one_of(value, member, ("fractal-lba-kakeya",))


def kid(value: object, member: str, _: Members) -> None:
    spelled(value, member, NAME_CHARACTERS, 1, 64)


def hexadecimal(value: object, member: str, _: Members) -> None:
    spelled(value, member, "0123456789abcdef", 64, 64)


def natural(value: object, member: str, _: Members) -> None:
    whole(value, member, 0, SAFE)


def shard_id(value: object, member: str, _: Members) -> None:
    spelled(value, member, NAME_CHARACTERS + ":", 1, 128)


def created_at(value: object, member: str, _: Members) -> None:
    timestamp(value, member)


def profile(value: object, member: str, _: Members) -> None:
    one_of(value, member, ("points/1", "bytes/1"))


def rows(value: object, member: str, _: Members) -> None:
    whole(value, member, 3, 65_536)


def columns(value: object, member: str, members: Members) -> None:
    whole(value, member, 1, 1 if members["profile"] == "bytes/1" else 4_096)


def scales(value: object, member: str, _: Members) -> None:
    before = 1
    for place, item in enumerate(array(value, member, 2, 10)):
        scale = whole(item, f"{member}.{place}", 2, 1_024)
        if scale < 2 * before:
            refuse("not_doubled", f"{member}.{place}")
        before = scale


def cells(value: object, member: str, members: Members) -> None:
    counts = mapping(value, member)
    n, d = members["n"], members["d"]
    assert isinstance(n, float)
    points = int(n) - 2 if d == 1 else int(n)
    names = [str(int(scale)) for scale in scales_of(members)]
    for name in names:
        whole(counts.get(name, ABSENT), f"{member}.{name}", 1, points)
    no_others(counts, names, f"{member}.")


def scales_of(members: Members) -> list[float]:
    listed = members["scales"]
    assert isinstance(listed, list)
    return listed


def d_hat(value: object, member: str, _: Members) -> None:
    number(value, member, -16, 16)


def coh_star(value: object, member: str, _: Members) -> None:
    number(value, member, 0.05, 1)


def share(value: object, member: str, _: Members) -> None:
    number(value, member, 0, 1)


def v_star(value: object, member: str, _: Members) -> None:
    items = array(value, member, 3, 3)
    x, y, z = (number(item, f"{member}.{place}", -1, 1) for place, item in enumerate(items))
    if abs((x * x + y * y) + z * z - 1) > 1e-6:
        refuse("not_a_unit_vector", member)


def regime(value: object, member: str, _: Members) -> None:
    one_of(value, member, REGIMES)


def ft(value: object, member: str, _: Members) -> None:
    members = mapping(value, member)
    boolean(members.get("degraded", ABSENT), "ft.degraded")
    for place, item in enumerate(array(members.get("fallbacks", ABSENT), "ft.fallbacks", 0, 8)):
        short(item, f"ft.fallbacks.{place}", 64)
    whole(members.get("clock_skew_ms", ABSENT), "ft.clock_skew_ms", -SAFE, SAFE)
    no_others(members, ["degraded", "fallbacks", "clock_skew_ms"], "ft.")


def meta(value: object, member: str, _: Members) -> None:
    if value is ABSENT:
        return
    members = mapping(value, member)
    if len(members) > 16:
        refuse("wrong_count", member)
    for name in sorted(members, key=lambda n: n.encode("utf-16-be")):
        path = f"meta.{shown(name)}"
        spelled(name, path, string.ascii_lowercase + string.digits + "_.", 1, 64)
        item = members[name]
        if isinstance(item, str):
            short(item, path, 256)
        elif not isinstance(item, bool):
            whole(item, path, -SAFE, SAFE)


def delivery(value: object, member: str, _: Members) -> None:
    if value is ABSENT:
        return
    members = mapping(value, member)
    whole(members.get("attempt", ABSENT), "delivery.attempt", 1, SAFE)
    timestamp(members.get("sent_at", ABSENT), "delivery.sent_at")
    whole(members.get("outbox_seq", ABSENT), "delivery.outbox_seq", 1, SAFE)
    no_others(members, ["attempt", "sent_at", "outbox_seq"], "delivery.")


def sig(value: object, member: str, _: Members) -> None:
    if value is not ABSENT and len(signature_bytes(text(value, member))) not in (0, 32, 64):
        refuse("wrong_length", member)


def signature_bytes(word: str) -> bytes:
    try:
        data = binascii.a2b_base64(word.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        refuse("not_base64", "sig")
    if base64.b64encode(data).decode("ascii") != word:
        refuse("not_base64", "sig")
    return data


# In the order of the table; the version was checked before.
Rule = Callable[[object, str, Members], None]
RULES: list[tuple[str, Rule]] = [
    ("schema", schema),
    ("kid", kid),
    ("pcs_id", hexadecimal),
    ("merkle_root", hexadecimal),
    ("epoch", natural),
    ("shard_id", shard_id),
    ("created_at", created_at),
    ("profile", profile),
    ("n", rows),
    ("d", columns),
    ("seed", natural),
    ("scales", scales),
    ("N_j", cells),
    ("D_hat", d_hat),
    ("coh_star", coh_star),
    ("r", share),
    ("budget", share),
    ("v_star", v_star),
    ("regime", regime),
    ("ft", ft),
    ("meta", meta),
    ("delivery", delivery),
    ("sig", sig),
]
