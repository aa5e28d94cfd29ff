"""What somebody who carries old records, or holds another key, cannot bring about."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from click.testing import CliRunner
from golden_vectors.runner import FOLDER
from tests.oracle import legacy as oracle
from tests.oracle.canonical_json import canonical_bytes
from tests.support.faulty_server import check_here
from tests.support.legacy import OLD, LegacySigner, body, members, signed
from tests.support.legacy_server import (
    RING,
    SHARED,
    assert_first,
    assert_problem,
    decision,
    got,
    prepared,
)
from tests.support.server_process import Folder, Reply, ServerProcess, until
from tests.support.signed import GLOBEX
from tests.support.signed import members as current_members

from fractal_lba.protocol import canonical, sign_record
from fractal_lba.server.__main__ import main

# Long enough for version 1.0, and marked for 0.1 too.
BOTH = LegacySigner("both", "both-1", b"b" * 32)
FOR_BOTH = {"X-Tenant-Id": "both"}
# Of tenants that may do less than others.
TIGHT = LegacySigner("tight", "tight-1", b"tight")
FOR_TIGHT = {"X-Tenant-Id": "tight"}
NDJSON = "application/x-ndjson"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "records_0_1.json").read_bytes())["tests"]
((GOLDEN_RING, _),) = Counter(case["input"]["keyring"] for case in CASES).most_common(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for this module; each test takes epochs of its own."""
    folder = prepared(Folder(tmp_path_factory.mktemp("legacy") / "folder"))
    folder.write_keyring([*RING, BOTH, TIGHT])  # type: ignore[list-item]  # both kinds of signers have an entry
    with folder.config.open("a") as settings:
        settings.write("\n[tenants.tight]\nrecords_per_day = 2\nhorizon_days = 1\n")
    with ServerProcess(folder) as running:
        yield running


def golden(result: str) -> list[dict[str, Any]]:
    """Return the cases of the ring that most of them have, sent by nobody in particular."""
    return [
        case
        for case in CASES
        if (case["input"]["keyring"], case["input"]["tenant"]) == (GOLDEN_RING, None)
        and case["input"]["accepts_legacy"]
        and case["result"] == result
    ]


def submitted(server: ServerProcess, case: dict[str, Any]) -> Reply:
    sent = base64.b64decode(case["input"]["body"])
    return server.submit(sent + b" " * int(case["input"]["trailing_spaces"]))


@pytest.fixture
def golden_folder(folder: Folder) -> Folder:
    token = {"tenant": "default", "sha256": sha256(b"reader").hexdigest(), "scopes": ["read"]}
    ring = {**json.loads(base64.b64decode(GOLDEN_RING)), "tokens": [token]}
    (folder.path / "keyring.json").write_text(json.dumps(ring))
    return folder


def test_every_golden_refusal_is_given_and_leaves_no_trace(golden_folder: Folder) -> None:
    cases = golden("invalid")
    assert len(cases) > 150
    with ServerProcess(golden_folder) as server:
        for case in cases:
            answer, expected = submitted(server, case).json, case["expected"]
            assert answer["code"] == expected["code"], case["comment"]
            if expected["code"] != "too_large":  # HTTP says so before anything is parsed
                given = (answer["reason"], answer.get("member"))
                assert given == (expected["reason"], expected["member"]), case["comment"]
        rows = server.ask("GET", "/v1/pcs", headers={"Authorization": "Bearer reader"}).json
        assert rows["records"] == []
        assert server.stop() == 0
    report = check_here(golden_folder)
    assert (report.problems, report.records, report.conflicts) == ([], 0, 0)


def test_every_golden_outcome_is_given_first_again_or_as_a_conflict(golden_folder: Folder) -> None:
    cases = golden("valid")
    first: dict[str, tuple[str, bytes]] = {}
    with ServerProcess(golden_folder) as server:
        for case in cases:
            answer, expected = submitted(server, case), case["expected"]
            told = base64.b64decode(expected["decision_body"])
            known = first.get(expected["pcs_id"])
            if known is None:
                assert (answer.status, answer.body) == (expected["status"], told), case["comment"]
                assert not answer.is_replayed
                if expected["remembered"]:
                    first[expected["pcs_id"]] = (expected["digest"], told)
            elif known[0] == expected["digest"]:
                assert (answer.body, answer.is_replayed) == (known[1], True), case["comment"]
            else:
                assert answer.json["code"] == "pcs_id_conflict", case["comment"]
        assert server.stop() == 0
    assert len(cases) > 100
    report = check_here(golden_folder)
    assert (report.problems, report.records) == ([], len(first))


UNSIGNED = ["attempt", "sent_at", "seed", "scales", "N_j", "v_star", "regime", "ft", "schema"]
ABSENT = object()
VALUES = [ABSENT, None, [], {}, -1, 0.5, "sticky", [2, 4], {"2": 4, "4": 9}, True, 2**53 - 1]


def test_no_unsigned_member_decides_for_the_honest_sender_whatever_a_relay_puts_there(
    server: ServerProcess,
) -> None:
    relays = [(name, value) for name in UNSIGNED for value in VALUES]
    honest = [signed(1000 + place) for place in range(len(relays))]
    sent = []
    for record, (name, value) in zip(honest, relays, strict=True):
        spoiled = {**record, name: value}
        if value is ABSENT:
            del spoiled[name]
        sent += [spoiled, record, spoiled]
    answers = server.batch(b"\n".join(body(each) for each in sent)).lines
    refusals = set()
    for place, record in enumerate(honest):
        before, own, after = answers[3 * place : 3 * place + 3]
        assert (own["status"], own["body"]) == (200, json.loads(decision(record))), relays[place]
        for relayed in (before, after):
            if relayed["status"] == 200:
                assert relayed["body"] == own["body"], relays[place]
            else:
                refusals.add(relayed["body"]["code"])
    assert refusals == {"invalid_record", "unsigned_member_mismatch"}
    reader = {"Authorization": f"Bearer {server.folder.token('default')}", "Accept": NDJSON}
    path = "/v1/pcs?from_epoch=1000&to_epoch=1999"
    kept = [json.loads(line) for line in server.ask("GET", path, headers=reader).body.splitlines()]
    assert [canonical_bytes(each["record"]) for each in kept] == [
        oracle.stored(record) for record in honest
    ]
    assert {json.dumps(each["conflicts"]) for each in kept} == {"[]"}


def test_cells_that_agree_may_come_from_anybody_and_change_nothing_remembered(
    server: ServerProcess,
) -> None:
    # The sender's own cells do not agree with what it signed; whoever puts others there makes the
    # record acceptable, and what is remembered is what was signed all the same.
    record = signed(2100, N_j={"2": 4, "4": 4, "8": 4, "16": 4}, D_hat=1.0)
    assert_problem(server.submit(body(record)), 422, "unsigned_member_mismatch", "d_hat_mismatch")
    mended = {**record, "N_j": {"2": 2, "4": 4, "8": 8, "16": 16}}
    assert_first(server.submit(body(mended)), record)
    stored = got(server, record["pcs_id"]).json["record"]
    assert canonical_bytes(stored) == oracle.stored(record)


def test_spoiled_copies_spend_no_quota_and_are_told_apart_beyond_it(server: ServerProcess) -> None:
    one, two, three = (signed(2200 + n, signer=TIGHT) for n in range(3))
    for _ in range(5):
        for record in (one, two):
            spoiled = server.submit(body({**record, "regime": "sticky"}), FOR_TIGHT)
            assert spoiled.json["code"] == "unsigned_member_mismatch"
        assert server.submit(body(signed(2209, signer=TIGHT, r=2)), FOR_TIGHT).status == 422
    # Signed long ago, by what it says: there is no horizon.
    for record in (one, two):
        assert_first(server.submit(body(record), FOR_TIGHT), record)
    assert server.submit(body(three), FOR_TIGHT).json["code"] == "quota_exceeded"
    # Refused for what it is, not for the day.
    spoiled = server.submit(body({**three, "regime": "sticky"}), FOR_TIGHT)
    assert spoiled.json["code"] == "unsigned_member_mismatch"
    again = server.submit(body({**one, "seed": 3}), FOR_TIGHT)
    assert (again.body, again.is_replayed) == (decision(one), True)


def current(epoch: int, signer: LegacySigner) -> dict[str, Any]:
    made = current_members(epoch, kid=signer.kid)
    return dict(sign_record(made, signer.key).members)


def test_a_signature_of_one_version_is_none_of_the_other(server: ServerProcess) -> None:
    new = current(2300, BOTH)
    names = ("merkle_root", "epoch", "shard_id", "pcs_id")
    old = signed(signer=BOTH, **{name: new[name] for name in names})
    as_old = {**old, "sig": new["sig"]}
    answer = server.submit(body(as_old), FOR_BOTH)
    assert_problem(answer, 401, "signature_invalid", "signature_mismatch")
    for spelling in BOTH.spellings:
        as_new = {**new, "sig": BOTH.sign(old, spelling)}
        answer = server.submit(canonical(as_new), FOR_BOTH)
        assert_problem(answer, 401, "signature_invalid", "signature_mismatch")
    # The members of both in one body are of the version it says.
    mixed = {**new, **old, "sig": old["sig"]}
    assert_problem(
        server.submit(canonical({**mixed, "version": "1.0"}), FOR_BOTH),
        400,
        "invalid_record",
        "unknown_member",
    )
    for version in ("0.1", "1.0"):
        assert got(server, new["pcs_id"], "both", version).status == 404
    # Each by itself is taken, beside the other.
    assert server.submit(canonical(new)).status == 200
    assert_first(server.submit(body({**mixed, "version": "0.1"}), FOR_BOTH), old)
    assert got(server, new["pcs_id"], "both", "1.0").json["record"]["version"] == "1.0"
    assert got(server, new["pcs_id"], "both").json["record"] == json.loads(oracle.stored(old))


def test_a_key_signs_what_it_is_for(server: ServerProcess) -> None:
    # A key for version 1.0 alone signs no old record, whoever is named.
    unmarked = LegacySigner(GLOBEX.tenant, GLOBEX.kid, GLOBEX.secret, is_legacy=False)
    record = signed(2400, signer=unmarked)
    answer = server.submit(body(record), {"X-Tenant-Id": "globex"})
    assert_problem(answer, 401, "signature_invalid", "signature_mismatch")
    acme = {"X-Tenant-Id": "acme"}  # a tenant with keys for 1.0 alone
    assert_problem(server.submit(body(record), acme), 401, "unknown_key", "no_legacy_key")
    # A short key for 0.1 signs no record of 1.0: anybody could find it.
    made = current_members(2400, kid=OLD.kid)
    forged = canonical({**made, "sig": "A" * 43 + "="})
    assert_problem(server.submit(forged), 401, "unknown_key", "short_key")


def test_a_relay_to_another_tenant_with_the_same_secret_decides_there_alone(
    server: ServerProcess,
) -> None:
    record, other = signed(2500), signed(2500, r=0.25)
    elsewhere = {"X-Tenant-Id": SHARED.tenant}
    # The other tenant has another content under this id before the sender comes.
    assert_first(server.submit(body(other), elsewhere), other)
    assert server.submit(body(record), elsewhere).status == 409
    assert_first(server.submit(body(record)), record)
    assert got(server, record["pcs_id"]).json["conflicts"] == []
    assert len(got(server, record["pcs_id"], SHARED.tenant).json["conflicts"]) == 1
    token = {"Authorization": f"Bearer {server.folder.token('default', 'submit')}"}
    answer = server.submit(body(record), {**elsewhere, **token})
    assert_problem(answer, 403, "tenant_mismatch", "tenant_mismatch")


def listed(server: ServerProcess, *arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(main, [*arguments, "--config", str(server.folder.config)])
    assert (done.exit_code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_old_records_are_listed_exported_and_shown_from_the_command_line(
    server: ServerProcess,
) -> None:
    stream = "Süd \U0001f600"
    records = [signed(epoch, shard_id=stream, coh_star=0.8, budget=0.9) for epoch in range(3)]
    for record in records:
        assert server.submit(body({**record, "note": "relay-word"})).status == 202
    assert server.submit(body(signed(0, shard_id=stream, coh_star=0.8, r=0.1))).status == 409
    asked = ("--tenant", "default", "--shard-id", stream)
    # The last thing that was appended.
    until(
        lambda: any(
            row["conflicts"] for row in listed(server, "records", "list", "--json", *asked)
        ),
        "all of it is marked",
    )
    rows = listed(server, "records", "list", "--json", *asked, "--regime", "sticky")
    assert [(row["version"], row["epoch"], row["outcome"]) for row in rows] == [
        ("0.1", epoch, "escalated") for epoch in range(3)
    ]
    exported = listed(server, "records", "export", *asked)
    assert [canonical_bytes(each["record"]) for each in exported] == [
        oracle.stored(record) for record in records
    ]
    assert [len(each["conflicts"]) for each in exported] == [1, 0, 0]
    config = ("--config", str(server.folder.config))
    for command in ("records", "conflicts"):
        shown = CliRunner().invoke(main, [command, "show", records[0]["pcs_id"], *config])
        assert shown.exit_code == 0, shown.output
        assert "relay-word" not in shown.stdout
    waiting = listed(server, "escalations", "list", "--json", "--tenant", "default")
    assert {record["pcs_id"] for record in records} <= {row["pcs_id"] for row in waiting}


def test_a_copy_with_every_member_unsigned_flipped_after_the_decision_is_a_repeat(
    server: ServerProcess,
) -> None:
    record = signed(2600)
    assert_first(server.submit(body(record)), record)
    other = members(2601, N_j={"2": 1, "4": 1}, scales=[2, 4], D_hat=0, regime="non_sticky")
    flipped = {**record, **{name: other[name] for name in UNSIGNED if name != "ft"}, "ft": 1}
    again = server.submit(body(flipped))
    assert (again.status, again.body, again.is_replayed) == (200, decision(record), True)
