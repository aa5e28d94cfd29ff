"""``fractal-lba keys``: what is made, what is kept, and what is never shown."""

import base64
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import FRACTAL_LBA, Ended, assert_unusable, fractal_lba
from tests.support.records import removed, valid_members


def generate(ring: Path, kid: str, *more: str | Path, tenant: str = "acme") -> Ended:
    return fractal_lba(
        "keys", "generate", "--keyring", ring, "--tenant", tenant, "--kid", kid, *more
    )


def entries(ring: Path) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(ring.read_text())["keys"]
    return keys


def sign_and_verify(signing: Path, verifying: Path, kid: str) -> Ended:
    draft = json.dumps(removed(valid_members(), "delivery")).encode()
    record = fractal_lba("sign", "--keyring", signing, "--kid", kid, "-", stdin=draft)
    assert record.code == 0, record
    return fractal_lba("verify", "--keyring", verifying, "-", stdin=record.out)


@pytest.mark.parametrize("alg", ["ed25519", "hmac-sha256"])
def test_a_new_key_signs_and_a_servers_ring_verifies(tmp_path: Path, alg: str) -> None:
    ring, server = tmp_path / "agent.json", tmp_path / "server.json"
    ended = generate(ring, "acme-1", "--alg", alg, "--server-keyring", server)
    assert (ended.code, ended.err) == (0, "")
    answer = ended.json
    assert (answer["kid"], answer["tenant"], answer["alg"]) == ("acme-1", "acme", alg)
    verified = sign_and_verify(ring, server, "acme-1")
    assert (verified.code, verified.json["tenant"]) == (0, "acme")
    assert ("secret" in entries(server)[0]) is (alg == "hmac-sha256")


def test_the_default_is_ed25519_with_32_random_bytes(tmp_path: Path) -> None:
    ring = tmp_path / "ring.json"
    secrets = set()
    for kid in ("a", "b", "c"):
        assert generate(ring, kid).code == 0
    for entry in entries(ring):
        assert entry["alg"] == "ed25519"
        secret = base64.b64decode(entry["secret"].removeprefix("base64:"))
        assert len(secret) == 32
        secrets.add(secret)
    assert len(secrets) == 3


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_ring_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    ring = tmp_path / "ring.json"
    options = ["--tenant", "t", "--kid", "k", "--keyring", str(ring)]
    command = [str(FRACTAL_LBA), "keys", "generate", *options]
    subprocess.run(command, check=True, capture_output=True, umask=umask)
    assert stat.S_IMODE(ring.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [ring]  # nothing is left beside it


def test_no_secret_is_ever_printed(tmp_path: Path) -> None:
    ring, server = tmp_path / "agent.json", tmp_path / "server.json"
    ended = [
        generate(ring, "pair", "--server-keyring", server),
        generate(ring, "shared", "--alg", "hmac-sha256"),
        generate(ring, "pair"),  # refused
        fractal_lba("keys", "list", "--keyring", ring),
        fractal_lba("keys", "list", "--public", "--keyring", ring),
    ]
    printed = b"".join(each.out + each.err.encode() for each in ended)
    for entry in entries(ring):
        secret = entry["secret"].removeprefix("base64:")
        raw = base64.b64decode(secret)
        assert secret.encode() not in printed
        assert secret.rstrip("=").encode() not in printed
        assert raw.hex().encode() not in printed
        assert raw not in printed


def test_what_a_ring_held_is_kept_as_it_was_written(tmp_path: Path) -> None:
    ring = tmp_path / "ring.json"
    (tmp_path / "old.secret").write_bytes(b"s" * 32)
    (tmp_path / "old.secret").chmod(0o600)
    old = {"kid": "old", "tenant": "t", "alg": "hmac-sha256", "secret": "file:old.secret"}
    token = {"tenant": "t", "sha256": "ab" * 32, "scopes": ["read"]}
    ring.touch(mode=0o600)
    ring.write_text(json.dumps({"keys": [old], "tokens": [token]}))
    assert generate(ring, "new").code == 0
    after = json.loads(ring.read_text())
    assert (after["keys"][0], after["tokens"]) == (old, [token])
    assert [entry["kid"] for entry in after["keys"]] == ["old", "new"]


def test_a_kid_is_never_replaced(tmp_path: Path) -> None:
    ring, server = tmp_path / "agent.json", tmp_path / "server.json"
    assert generate(ring, "acme-1").code == 0
    before = ring.read_bytes()
    assert_unusable(generate(ring, "acme-1"), "expected no key of that kid yet, got one")
    assert generate(server, "acme-2").code == 0
    # The second ring refuses it: then the first is left as it was, too.
    refused = generate(ring, "acme-2", "--server-keyring", server)
    assert_unusable(refused, "server.json: expected no key of that kid yet, got one")
    assert ring.read_bytes() == before


def test_keys_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    ring = tmp_path / "ring.json"
    kids = [f"k{number}" for number in range(8)]
    running = [
        subprocess.Popen(
            [FRACTAL_LBA, "keys", "generate", "--keyring", ring, "--tenant", "t", "--kid", kid],
            stdout=subprocess.DEVNULL,
        )
        for kid in kids
    ]
    assert [process.wait(timeout=60) for process in running] == [0] * len(kids)
    assert sorted(entry["kid"] for entry in entries(ring)) == kids


def test_a_ring_behind_a_link_is_extended_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    ring, link = tmp_path / "real" / "ring.json", tmp_path / "ring.json"
    assert generate(ring, "a").code == 0
    link.symlink_to(ring)
    assert generate(link, "b").code == 0
    assert link.is_symlink()
    assert [entry["kid"] for entry in entries(ring)] == ["a", "b"]


def test_validity_is_written_and_listed(tmp_path: Path) -> None:
    ring = tmp_path / "ring.json"
    times = ("2026-01-01T00:00:00.000Z", "2026-12-31T00:00:00.000Z")
    ended = generate(ring, "k", "--not-before", times[0], "--not-after", times[1])
    assert (ended.json["not_before"], ended.json["not_after"]) == times
    (listed,) = fractal_lba("keys", "list", "--keyring", ring).json["keys"]
    assert (listed["not_before"], listed["not_after"]) == times
    (public,) = fractal_lba("keys", "list", "--public", "--keyring", ring).json["keys"]
    assert (public["not_before"], public["not_after"]) == times


@pytest.mark.parametrize(
    ("kid", "more", "message"),
    [
        ("a b", (), "kid: expected a match of"),
        ("", (), "kid: expected a match of"),
        ("k" * 65, (), "kid: expected a match of"),
        ("k", ("--not-before", "soon"), "not_before: expected YYYY-MM-DDTHH:MM:SS.mmmZ"),
        (
            "k",
            (
                "--not-before",
                "2026-01-02T00:00:00.000Z",
                "--not-after",
                "2026-01-01T00:00:00.000Z",
            ),
            "not_after: expected a time from not_before on",
        ),
        ("k", ("--alg", "rsa"), "--alg"),
    ],
)
def test_what_a_ring_cannot_hold_is_refused(
    tmp_path: Path, kid: str, more: tuple[str, ...], message: str
) -> None:
    assert_unusable(generate(tmp_path / "ring.json", kid, *more), message)
    assert list(tmp_path.iterdir()) == []


def test_a_ring_that_cannot_be_used_is_left_alone(tmp_path: Path) -> None:
    ring = tmp_path / "ring.json"
    ring.touch(mode=0o600)
    ring.write_text("{")
    assert_unusable(generate(ring, "k"), "expected strict JSON, got syntax")
    assert ring.read_text() == "{"
    assert_unusable(generate(tmp_path / "no" / "ring.json", "k"), "No such file or directory")
    assert_unusable(generate(tmp_path, "k"), "expected a regular file")
    same = generate(tmp_path / "a", "k", "--server-keyring", tmp_path / "." / "a")
    assert_unusable(same, "expected another file than --keyring")


def test_the_public_ring_is_one_a_server_can_use(tmp_path: Path) -> None:
    ring, server = tmp_path / "ring.json", tmp_path / "server.json"
    assert generate(ring, "pair").code == 0
    assert generate(ring, "shared", "--alg", "hmac-sha256").code == 0
    public = fractal_lba("keys", "list", "--public", "--keyring", ring)
    assert public.code == 0
    assert public.err == "fractal-lba: left out, shared secrets: shared\n"
    server.touch(mode=0o600)
    server.write_bytes(public.out)
    assert sign_and_verify(ring, server, "pair").code == 0
    (listed,) = fractal_lba("keys", "list", "--keyring", server).json["keys"]
    assert (listed["kid"], listed["can_sign"]) == ("pair", False)
    can_sign = [
        key["can_sign"] for key in fractal_lba("keys", "list", "--keyring", ring).json["keys"]
    ]
    assert can_sign == [True, True]


@pytest.mark.parametrize("arguments", [(), ("keys",)])
def test_a_group_without_a_command_shows_its_help(arguments: tuple[str, ...]) -> None:
    ended = fractal_lba(*arguments)
    assert (ended.code, ended.out) == (2, b"")
    assert ended.err.startswith("Usage: fractal-lba")


@pytest.mark.parametrize(
    "command", ["keys generate", "keys list", "sign", "verify", "canonical", "signals"]
)
def test_every_command_documents_examples_and_exit_codes(command: str) -> None:
    ended = fractal_lba(*command.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    text = ended.out.decode()
    assert "Example" in text
    assert "Exit codes:\n    0  " in text
    assert "\n    2  " in text


def test_wrong_usage_is_one_line() -> None:
    assert_unusable(fractal_lba("verify", "-"), "Missing option '--keyring'")
    assert_unusable(fractal_lba("verify"), "Missing argument 'RECORD'. (see fractal-lba verify")
    assert_unusable(fractal_lba("nothing"), "No such command 'nothing'. (see fractal-lba --help)")
    assert_unusable(fractal_lba("canonical", "--no"), "No such option")
