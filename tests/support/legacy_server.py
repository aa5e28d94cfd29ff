"""A server whose ring holds old agents' keys, and what its answers to them must be."""

from typing import Any

from tests.oracle import legacy as oracle
from tests.oracle.canonical_json import canonical_bytes
from tests.support.legacy import OLD, OLD_ED25519, OLD_LAB, LegacySigner
from tests.support.server_process import Folder, Reply, ServerProcess
from tests.support.signed import ACME, ACME_NEXT, GLOBEX

LATE = LegacySigner("late", "late-1", b"late", not_after="2020-01-01T00:00:00.000Z")
SHUT = LegacySigner("shut", "shut-1", b"shut")
SHARED = LegacySigner("globex", "globex-old", OLD.secret)
RING = [ACME, ACME_NEXT, GLOBEX, OLD, OLD_ED25519, OLD_LAB, LATE, SHUT, SHARED]


def prepared(folder: Folder) -> Folder:
    folder.write_keyring(RING)  # type: ignore[arg-type]  # both kinds of signers have an entry
    # Tables come after every flat setting.
    settings = folder.config.read_text().replace("tenants = {}\n", "")
    folder.config.write_text(settings + "[tenants.shut]\naccepts_legacy = false\n")
    return folder


def got(server: ServerProcess, pcs_id: str, tenant: str = "default", version: str = "0.1") -> Reply:
    token = server.folder.token(tenant)
    path = f"/v1/pcs/{pcs_id}?version={version}"
    return server.ask("GET", path, headers={"Authorization": f"Bearer {token}"})


def decision(record: dict[str, Any], **changes: object) -> bytes:
    """Return the decision body, from the wire's words alone."""
    slope, coh_star, r = (oracle.rounded(record[name]) for name in ("D_hat", "coh_star", "r"))
    return canonical_bytes(
        {
            "pcs_id": record["pcs_id"],
            "record_digest": oracle.digest(record),
            "accepted": True,
            "escalated": False,
            "reasons": [],
            "recomputed_D_hat": None,
            "recomputed_budget": oracle.budget(slope, coh_star, r),
            "params_version": "legacy/1",
            **changes,
        }
    )


def assert_problem(answer: Reply, status: int, code: str, reason: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, answer.json["code"], answer.json["reason"]) == (status, code, reason)


def assert_first(answer: Reply, record: dict[str, Any]) -> None:
    assert (answer.status, answer.body, answer.is_replayed) == (200, decision(record), False)
