"""Tenants never meet, and what is theirs is in no log and no metric."""

import base64
import re
from collections.abc import Iterator

import pytest
from tests.support.server_process import Folder, Reply, ServerProcess
from tests.support.signed import ACME, ACME_NEXT, GLOBEX, Signer, body, members

from fractal_lba.protocol.reading import parse_record

SAMPLE = re.compile(r"(flk_\w+)(?:\{(.*)\})? (\S+)")


@pytest.fixture
def server(folder: Folder) -> Iterator[ServerProcess]:
    with ServerProcess(folder) as server:
        yield server


def counted(server: ServerProcess) -> dict[tuple[str, str], float]:
    """Return every sample of ``/metrics`` that is not zero, by its name and labels."""
    text = server.ask("GET", "/metrics").body.decode()
    return {
        (found[1], found[2] or ""): float(found[3])
        for line in text.splitlines()
        if (found := SAMPLE.fullmatch(line)) and float(found[3])
    }


def said(answer: Reply) -> tuple[int, bytes, dict[str, str]]:
    """Return all that an answer says, but for when and what the request was called."""
    return *answer.said, {**answer.headers, "date": "", "x-request-id": ""}


def test_the_same_id_is_decided_for_each_tenant_by_itself(server: ServerProcess) -> None:
    pcs_id = members(1)["pcs_id"]
    ours = body(1)
    theirs = body(1, signer=GLOBEX, regime="sticky", n=65)
    first = server.submit(ours)
    assert (first.status, first.is_replayed) == (200, False)
    assert server.get(pcs_id, "globex").status == 404
    # No conflict with the other tenant's content, and an outcome of its own.
    other = server.submit(theirs)
    assert (other.status, other.is_replayed) == (202, False)
    assert other.json["record_digest"] != first.json["record_digest"]
    for sent, answer in ((ours, first), (theirs, other)):
        again = server.submit(sent)
        assert (again.status, again.is_replayed, again.body) == (answer.status, True, answer.body)
    # A conflict of one of them is none of the other's.
    assert server.submit(body(1, n=66)).status == 409
    for tenant, sent, conflicts in (("acme", ours, 1), ("globex", theirs, 0)):
        got = server.get(pcs_id, tenant).json
        assert got["record"] == dict(parse_record(sent).members)
        assert len(got["conflicts"]) == conflicts
    server.stop()
    code, report = server.folder.fsck()
    assert (code, report["records"], report["conflicts"]) == (0, 2, 1)


def test_what_another_tenant_has_reads_like_what_nobody_has(server: ServerProcess) -> None:
    known = server.submit(body(1)).json["pcs_id"]
    theirs, nobodys = server.get(known, "globex"), server.get("0" * 64, "globex")
    assert theirs.status == 404
    assert said(theirs) == said(nobodys)
    for path in (f"/v1/pcs/{known}?version=0.1", f"/v1/pcs/{known}?version=2.0"):
        reader = {"Authorization": f"Bearer {server.folder.token('acme')}"}
        assert said(server.ask("GET", path, headers=reader)) == said(nobodys)


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        (None, 401, "unauthenticated"),
        ("Bearer read-token-of-nobody", 401, "unauthenticated"),
        ("Bearer", 401, "unauthenticated"),
        ("Basic read-token-of-acme", 401, "unauthenticated"),
        ("Bearer submit-token-of-acme", 403, "forbidden"),
    ],
)
def test_a_read_without_the_right_says_nothing_of_what_there_is(
    shared_server: ServerProcess,
    fresh_epoch: int,
    authorization: str | None,
    status: int,
    code: str,
) -> None:
    known = shared_server.submit(body(fresh_epoch)).json["pcs_id"]
    headers = {"Authorization": authorization} if authorization else {}
    answers = [
        shared_server.ask("GET", f"/v1/pcs/{pcs_id}", headers=headers)
        for pcs_id in (known, "0" * 64)
    ]
    assert said(answers[0]) == said(answers[1])
    assert (answers[0].status, answers[0].json["code"]) == (status, code)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Tenant-Id": "globex"},
        {"Authorization": "Bearer submit-token-of-globex"},
        {"Authorization": "Bearer submit-token-of-globex", "X-Tenant-Id": "acme"},
        {"Authorization": "Bearer submit-token-of-acme", "X-Tenant-Id": "globex"},
        {"X-Tenant-Id": "acme, acme"},
        {"X-Tenant-Id": "acme\tglobex"},
    ],
)
def test_a_caller_of_another_tenant_leaves_no_trace(
    server: ServerProcess, headers: dict[str, str]
) -> None:
    pcs_id = members(1)["pcs_id"]
    answer = server.submit(body(1), headers)
    assert (answer.status, answer.json["code"]) == (403, "tenant_mismatch")
    assert server.get(pcs_id).status == 404
    assert server.get(pcs_id, "globex").status == 404
    assert not server.submit(body(1)).is_replayed
    # Nor does it get the answer that there is now, or a conflict's digests.
    for sent in (body(1), body(1, n=65)):
        answer = server.submit(sent, headers)
        assert (answer.status, answer.json["code"]) == (403, "tenant_mismatch")
    assert server.get(pcs_id).json["conflicts"] == []


def test_metrics_count_each_tenant_for_itself(server: ServerProcess) -> None:
    for sent, headers in (
        (body(1), {}),
        (body(1), {}),
        (body(1, n=65), {}),
        (body(2, regime="sticky"), {}),
        (body(3, D_hat=3.0), {}),
        (body(3, D_hat=3.0), {}),
        (body(1, signer=GLOBEX), {}),
        (body(4), {"X-Tenant-Id": "globex"}),
        (body(4, signer=Signer("acme", ACME.kid, b"?" * 32)), {}),
        (b"{", {}),
    ):
        server.submit(sent, headers)
    counts = {
        (name, labels): value
        for (name, labels), value in counted(server).items()
        if name.endswith("_total") and "wal" not in name
    }
    assert counts == {
        ("flk_ingest_total", ""): 10,
        ("flk_dedup_hits_total", 'tenant="acme"'): 2,
        ("flk_accepted_total", 'tenant="acme"'): 2,
        ("flk_accepted_total", 'tenant="globex"'): 1,
        ("flk_escalated_total", 'tenant="acme"'): 1,
        ("flk_conflicts_total", 'tenant="acme"'): 1,
        ("flk_rejected_total", 'code="not_accepted",tenant="acme"'): 1,
        ("flk_rejected_total", 'code="tenant_mismatch",tenant="acme"'): 1,
        # Nobody's: what did not verify belongs to no tenant, whatever its kid says.
        ("flk_rejected_total", 'code="signature_invalid",tenant=""'): 1,
        ("flk_rejected_total", 'code="malformed_json",tenant=""'): 1,
        ("flk_signature_errors_total", ""): 1,
    }


def test_no_payload_and_no_secret_is_ever_logged_or_measured(folder: Folder) -> None:
    mallory = Signer("acme", ACME.kid, b"m" * 32)
    sent = [
        (body(1), {"Authorization": "Bearer submit-token-of-acme"}),
        (body(1, n=65), {}),
        (body(2, signer=ACME_NEXT, meta={"note": "payload-word"}, D_hat=3.0), {}),
        (body(3, signer=mallory), {}),
        (
            body(4, shard_id="turned-away-stream", coh_star=0.3),
            {"X-Tenant-Id": "turned-away-tenant"},
        ),
        (body(5), {"X-Tenant-Id": b"turned-away-tenant-\xff"}),
        (body(6), {"Authorization": "Bearer turned-away-token"}),
        (body(7), {"Authorization": "Bearer submit-token-of-globex"}),
        (body(8).replace(b'"n":64', b'"n":"payload-word"'), {}),
        (b'{"payload-word": "payload-word', {}),
        (b"payload-word \xff", {"Content-Type": "payload/word"}),
    ]
    with ServerProcess(folder, "--log-level", "debug") as server:
        for data, headers in sent:
            server.ask(
                "POST",
                "/v1/pcs/submit",
                data,
                {"Content-Type": "application/json", **headers},  # type: ignore[dict-item]  # bytes are sent as they are
            )
        server.get(members(1)["pcs_id"])
        server.ask("GET", "/payload-word?payload-word=1", headers={"X-Any": "payload-word"})
        measured = server.ask("GET", "/metrics").body.decode()
        server.kill()
    # A recovery settles again what the kill left open, and may say more.
    with ServerProcess(folder, "--log-level", "debug") as again:
        again.stop()
    logged = server.log.read_text() + again.log.read_text()
    assert members(1)["pcs_id"] in logged  # ids of verified records are there
    secrets = [
        form
        for signer in (ACME, ACME_NEXT, GLOBEX, mallory)
        for form in (
            signer.secret.decode(),
            signer.secret.hex(),
            base64.b64encode(signer.secret).decode(),
        )
    ]
    records = [parse_record(data).members for data, _ in sent[:8]]
    payloads = [
        str(record[name])
        for record in records
        for name in ("sig", "merkle_root", "created_at", "shard_id")
    ]
    words = [
        "payload-word",
        "payload/word",
        "turned-away",
        *(
            server.folder.token(tenant, scope)
            for tenant in ("acme", "globex")
            for scope in ("read", "submit")
        ),
    ]
    for where, text in (("log", logged), ("metrics", measured)):
        found = [word for word in (*secrets, *payloads, *words) if word in text]
        assert found == [], where
    # The id of a body that was not verified is a word of its sender's, and no record's.
    assert not [record for record in records[3:4] if str(record["pcs_id"]) in logged]
    assert not [record for record in records if str(record["pcs_id"]) in measured]
