"""``fractal-lba sign``, ``verify`` and ``canonical``, as a shell sees them."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.oracle import records as oracle
from tests.oracle.canonical_json import canonical_bytes
from tests.support.command_line import (
    FRACTAL_LBA,
    assert_refused,
    assert_unusable,
    fractal_lba,
)
from tests.support.records import DELIVERY, removed, valid_members

SECRET = bytes(range(32))
# Seeds of RFC 8032 section 7.1, tests 1 and 2.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
OTHER_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")


def key(kid: str, tenant: str, secret: bytes, **more: object) -> dict[str, Any]:
    hidden = "base64:" + base64.b64encode(secret).decode()
    return {"kid": kid, "tenant": tenant, "alg": "ed25519", "secret": hidden, **more}


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    path = tmp_path / "ring.json"
    year = {"not_before": "2026-01-01T00:00:00.000Z", "not_after": "2026-12-31T23:59:59.999Z"}
    write_ring(
        path,
        key("shared-1", "acme", SECRET, alg="hmac-sha256"),
        key("pair-1", "lab", SEED),
        key("pair-of-2026", "lab", OTHER_SEED, **year),
    )
    return path


def write_ring(path: Path, *keys: dict[str, Any]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps({"keys": keys}))


def draft(**changes: object) -> dict[str, Any]:
    """Return a record that nobody has signed."""
    members = {**valid_members(), **changes}
    for name in ("kid", "sig", "delivery"):
        del members[name]
    return members


def signed(ring: Path, kid: str, members: dict[str, Any]) -> bytes:
    ended = fractal_lba(
        "sign", "--keyring", ring, "--kid", kid, "-", stdin=json.dumps(members).encode()
    )
    assert (ended.code, ended.err) == (0, "")
    return ended.out


@pytest.mark.parametrize("kid", ["shared-1", "pair-1"])
def test_what_sign_prints_verifies(ring: Path, kid: str) -> None:
    record = signed(ring, kid, draft())
    ended = fractal_lba("verify", "--keyring", ring, "-", stdin=record)
    assert (ended.code, ended.err) == (0, "")
    answer = ended.json
    members = json.loads(record)
    assert answer["valid"] is True
    assert (answer["tenant"], answer["kid"]) == ("acme" if kid == "shared-1" else "lab", kid)
    assert answer["pcs_id"] == members["pcs_id"]
    assert answer["record_digest"] == oracle.record_digest(members)
    assert answer["content_digest"] == oracle.content_digest(members)


def test_a_signature_is_the_one_the_oracle_makes(ring: Path) -> None:
    record = signed(ring, "shared-1", draft())
    members = json.loads(record)
    assert members["sig"] == oracle.hmac_signature(members, SECRET)
    assert record == canonical_bytes(members) + b"\n"


def test_sign_replaces_kid_and_sig_and_fills_a_missing_pcs_id(ring: Path) -> None:
    full = {**valid_members(), "kid": "someone-else"}
    assert json.loads(signed(ring, "pair-1", full))["kid"] == "pair-1"
    without = removed(draft(), "pcs_id")
    assert signed(ring, "pair-1", without) == signed(ring, "pair-1", draft())


def test_sign_keeps_the_delivery(ring: Path) -> None:
    record = json.loads(signed(ring, "pair-1", {**draft(), "delivery": DELIVERY}))
    assert record["delivery"] == DELIVERY
    assert record["sig"] == json.loads(signed(ring, "pair-1", draft()))["sig"]


def test_sign_reads_a_file_as_it_reads_standard_input(ring: Path, tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    path.write_text(json.dumps(draft()))
    ended = fractal_lba("sign", "--keyring", ring, "--kid", "pair-1", path)
    assert ended.out == signed(ring, "pair-1", draft())
    verified = fractal_lba("verify", "--keyring", ring, path)
    assert (verified.code, verified.json["code"]) == (1, "invalid_record")  # no kid


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (draft(d=0), "d: expected"),
        (removed(draft(), "merkle_root"), "merkle_root: expected"),
        (removed(removed(draft(), "pcs_id"), "epoch"), "pcs_id: expected"),
        (draft(pcs_id="00" * 32), "(pcs_id_mismatch, pcs_id_mismatch)"),
        ([1], "expected an object"),
    ],
)
def test_sign_refuses_what_is_no_record(ring: Path, members: object, message: str) -> None:
    command = ("sign", "--keyring", ring, "--kid", "pair-1", "-")
    assert_refused(fractal_lba(*command, stdin=json.dumps(members).encode()), message)


def test_sign_refuses_what_is_no_json(ring: Path) -> None:
    command = ("sign", "--keyring", ring, "--kid", "pair-1", "-")
    assert_refused(fractal_lba(*command, stdin=b'{"a":1,"a":2}'), "duplicate_member")


def test_sign_needs_a_key_with_its_secret(ring: Path, tmp_path: Path) -> None:
    body = json.dumps(draft()).encode()
    unknown = fractal_lba("sign", "--keyring", ring, "--kid", "nobody", "-", stdin=body)
    assert_unusable(unknown, "expected a key of that kid, got none")
    public = fractal_lba("keys", "list", "--public", "--keyring", ring)
    server_ring = tmp_path / "server.json"
    server_ring.touch(mode=0o600)
    server_ring.write_bytes(public.out)
    ended = fractal_lba("sign", "--keyring", server_ring, "--kid", "pair-1", "-", stdin=body)
    assert_unusable(ended, "expected a secret to sign with, got none")


def test_verify_answers_0_whatever_the_outcome_would_be(ring: Path) -> None:
    cases = {
        "mixed": (200, []),
        "sticky": (202, ["regime_mismatch"]),
    }
    for regime, (status, reasons) in cases.items():
        budget_fits = draft(regime=regime, budget=0.193)
        record = signed(ring, "pair-1", budget_fits)
        ended = fractal_lba("verify", "--keyring", ring, "-", stdin=record)
        assert ended.code == 0
        outcome = ended.json["outcome"]
        assert (outcome["status"], outcome["reasons"]) == (status, reasons)
    record = signed(ring, "pair-1", draft(D_hat=3.0))
    ended = fractal_lba("verify", "--keyring", ring, "-", stdin=record)
    assert (ended.code, ended.json["valid"]) == (0, True)
    outcome = ended.json["outcome"]
    assert (outcome["status"], outcome["accepted"], outcome["escalated"]) == (422, False, False)
    assert outcome["reasons"][0] == "d_hat_mismatch"
    assert set(outcome) == {
        "status",
        "accepted",
        "escalated",
        "reasons",
        "recomputed_D_hat",
        "recomputed_budget",
        "params_version",
    }


def test_verify_names_the_code_and_reason_of_a_refusal(ring: Path) -> None:
    record = json.loads(signed(ring, "pair-1", draft()))
    cases = {
        "forged": (
            {**record, "epoch": 8, "pcs_id": _pcs_id_of_epoch(record, 8)},
            "signature_invalid",
        ),
        "unsigned": (removed(record, "sig"), "signature_missing"),
        "another key": ({**record, "kid": "nobody"}, "unknown_key"),
        "another id": ({**record, "epoch": 8}, "pcs_id_mismatch"),
        "another version": ({**record, "version": "2.0"}, "unsupported_version"),
        "a member out of range": ({**record, "n": 2}, "invalid_record"),
    }
    for name, (members, code) in cases.items():
        body = json.dumps(members).encode()
        ended = fractal_lba("verify", "--keyring", ring, "-", stdin=body)
        assert (ended.code, ended.err) == (1, ""), name
        answer = ended.json
        assert (answer["valid"], answer["code"]) == (False, code), name
        assert {"reason", "member", "detail"} <= answer.keys()
        assert "tenant" not in answer, name


def _pcs_id_of_epoch(record: dict[str, Any], epoch: int) -> str:
    return oracle.pcs_id(record["merkle_root"], epoch, record["shard_id"])


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "malformed_json"), (b"\xff", "bad_encoding"), (b" " * 65_537, "too_large")],
)
def test_verify_refuses_what_is_no_record(ring: Path, body: bytes, code: str) -> None:
    ended = fractal_lba("verify", "--keyring", ring, "-", stdin=body)
    assert (ended.code, ended.json["code"]) == (1, code)


def test_a_signature_of_another_tenants_key_is_not_valid_under_this_one(ring: Path) -> None:
    record = json.loads(signed(ring, "pair-1", draft()))
    stolen = json.dumps({**record, "kid": "pair-of-2026"}).encode()
    ended = fractal_lba("verify", "--keyring", ring, "-", stdin=stolen)
    assert (ended.code, ended.json["code"]) == (1, "signature_invalid")


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (None, 0),
        ("2025-12-31T23:59:59.999Z", 1),
        ("2026-01-01T00:00:00.000Z", 0),
        ("2026-12-31T23:59:59.999Z", 0),
        ("2027-01-01T00:00:00.000Z", 1),
    ],
)
def test_a_keys_time_is_judged_where_at_asks_for_it(ring: Path, at: str | None, code: int) -> None:
    record = signed(ring, "pair-of-2026", draft())
    when = [] if at is None else ["--at", at]
    ended = fractal_lba("verify", "--keyring", ring, *when, "-", stdin=record)
    assert (ended.code, ended.err) == (code, "")
    assert ended.json["valid"] is (code == 0)
    assert ended.json["tenant"] == "lab"  # the signature holds either way
    if code:
        assert ended.json["code"] == "key_not_valid_now"


def test_at_now_reads_the_clock(tmp_path: Path) -> None:
    ring = tmp_path / "ring.json"
    write_ring(
        ring,
        key("past", "lab", SEED, not_after="1970-01-01T00:00:00.000Z"),
        key("open", "lab", OTHER_SEED, not_before="1970-01-01T00:00:00.001Z"),
    )
    for kid, code in (("past", 1), ("open", 0)):
        record = signed(ring, kid, draft())
        ended = fractal_lba("verify", "--keyring", ring, "--at", "now", "-", stdin=record)
        assert ended.code == code
        # Without --at a retired key's record is as valid as ever.
        assert fractal_lba("verify", "--keyring", ring, "-", stdin=record).code == 0


def test_a_time_of_another_spelling_is_unusable(ring: Path) -> None:
    ended = fractal_lba("verify", "--keyring", ring, "--at", "yesterday", "-", stdin=b"{}")
    assert_unusable(ended, "--at: timestamp: expected YYYY-MM-DDTHH:MM:SS.mmmZ")


def test_a_file_that_cannot_be_read_is_unusable(ring: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    verify = ("verify", "--keyring")
    assert_unusable(fractal_lba(*verify, ring, missing), "none.json: cannot be read: No such file")
    assert_unusable(fractal_lba(*verify, ring, tmp_path), "cannot be read: Is a directory")
    assert_unusable(fractal_lba(*verify, missing, "-"), "none.json: expected a file to read")
    assert_unusable(fractal_lba(*verify, ring, "a\nb"), "a\\nb: cannot be read: No such file")
    sign = fractal_lba("sign", "--keyring", ring, "--kid", "pair-1", missing)
    assert_unusable(sign, "none.json: cannot be read: No such file")


def test_a_ring_that_others_can_read_is_unusable(ring: Path) -> None:
    ring.chmod(0o640)
    assert_unusable(fractal_lba("verify", "--keyring", ring, "-"), "expected mode 0600, got 0640")


def test_a_broken_ring_is_unusable_and_shows_no_secret(ring: Path) -> None:
    text = ring.read_text()
    ring.write_text(text.replace('"tenant": "acme"', '"tenant": "ac me"'))
    ended = fractal_lba("verify", "--keyring", ring, "-", stdin=b"{}")
    assert_unusable(ended, 'keys[0] kid "shared-1" tenant')
    assert "base64" not in ended.err


def test_a_closed_pipe_is_unusable(ring: Path) -> None:
    record = signed(ring, "pair-1", draft())
    for arguments, given in (
        (("verify", "--keyring", str(ring), "-"), record),
        (("canonical",), b"[1]"),
        (("--help",), b""),
        (("--version",), b""),
    ):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [FRACTAL_LBA, *arguments],
            input=given,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writing)
        expected = b"fractal-lba: standard output: cannot be written: Broken pipe\n"
        assert (done.returncode, done.stderr) == (2, expected), arguments


def test_a_full_disk_is_unusable() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [FRACTAL_LBA, "canonical"],
            input=b"[1]",
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    expected = b"fractal-lba: standard output: cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, expected)


def test_closed_streams_are_unusable() -> None:
    shell = f'"{FRACTAL_LBA}" canonical'
    no_input = subprocess.run(["/bin/sh", "-c", f"{shell} <&-"], capture_output=True, check=False)
    assert no_input.returncode == 2
    assert no_input.stderr == b"fractal-lba: standard input: expected an open one, got none\n"
    no_output = subprocess.run(
        ["/bin/sh", "-c", f"{shell} >&-"], input=b"[1]", capture_output=True, check=False
    )
    assert no_output.returncode == 2
    assert no_output.stderr == b"fractal-lba: standard output: expected an open one, got none\n"


def test_canonical_writes_the_bytes_and_nothing_else() -> None:
    given = '{"b": 1.0, "a": [1e3, "\\u20ac", null], "\\ud83d\\ude00": -0, "\ufb33": 1E-7}'
    ended = fractal_lba("canonical", stdin=given.encode())
    assert (ended.code, ended.err) == (0, "")
    expected = '{"a":[1000,"€",null],"b":1,"\U0001f600":0,"\ufb33":1e-7}'
    assert ended.out == expected.encode()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"", "(malformed_json, syntax)"),
        (b'{"a":1,"\\u0061":2}', "(malformed_json, duplicate_member)"),
        (b'["\\ud800"]', "(malformed_json, lone_surrogate)"),
        (b"[NaN]", "(malformed_json, syntax)"),
        (b"[1e400]", "(malformed_json, number_overflow)"),
        (b"\xef\xbb\xbf[]", "(bad_encoding, byte_order_mark)"),
        (b"[" * 65 + b"]" * 65, "(malformed_json, too_deep)"),
    ],
)
def test_canonical_refuses_what_is_not_i_json(given: bytes, message: str) -> None:
    assert_refused(fractal_lba("canonical", stdin=given), message)


def test_canonical_takes_64_levels() -> None:
    assert fractal_lba("canonical", stdin=b" " + b"[" * 64 + b"]" * 64).out == b"[" * 64 + b"]" * 64
