"""Logged before it is read, verified before it is remembered."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import ACME, ACME_NEXT, GLOBEX, Signer, body, members
from tests.support.small_disk import small_disk

from fractal_lba.protocol.canonical import canonical
from fractal_lba.server.core.inbox_frame import Received, decode_received
from fractal_lba.wal import Frame, RealDisk, scan_folder

MALLORY = Signer("acme", ACME.kid, b"m" * 32)
"""Signs under the honest key's name with another secret."""


def inbox_bodies(folder: Folder) -> list[tuple[Received, bytes]]:
    """Return what the inbox of a stopped server holds, as it came."""
    found = []
    for item in scan_folder(RealDisk(), folder.data / "inbox-0", "inbox-0"):
        assert isinstance(item, tuple)
        frame: Frame = item[1]
        received = decode_received(frame.meta)
        if received is not None:
            found.append((received, frame.payload))
    return found


def swapped(sent: bytes, old: bytes, new: bytes) -> bytes:
    assert sent.count(old) == 1
    return sent.replace(old, new)


def other_signature(sent: bytes) -> bytes:
    first = sent.index(b'"sig":"') + len(b'"sig":"')
    return sent[:first] + (b"B" if sent[first : first + 1] == b"A" else b"A") + sent[first + 1 :]


def forgeries(epoch: int) -> list[tuple[bytes, dict[str, str], int]]:
    """Return bodies that carry the honest id of ``epoch`` and must not take it."""
    honest = body(epoch)
    other = body(epoch + 1)
    return [
        (body(epoch, signer=MALLORY), {}, 401),
        (body(epoch, signer=MALLORY, n=65), {}, 401),
        (swapped(honest, b'"seed":42', b'"seed":43'), {}, 401),
        (swapped(honest, b'"kid":"acme-1"', b'"kid":"acme-2"'), {}, 401),
        (swapped(honest, b'"kid":"acme-1"', b'"kid":"globex-1"'), {}, 401),
        (swapped(honest, b'"kid":"acme-1"', b'"kid":"nobody"'), {}, 401),
        (other_signature(honest), {}, 401),
        (swapped(other, f'"epoch":{epoch + 1}'.encode(), f'"epoch":{epoch}'.encode()), {}, 400),
        (canonical(members(epoch)), {}, 401),
        (swapped(honest, b'"n":64', b'"n":2'), {}, 400),
        (swapped(honest, b'"d":3', b'"d":3,"d":3'), {}, 400),
        (swapped(honest, b'"version":"1.0"', b'"version":"1.1"'), {}, 400),
        (honest + b"{}", {}, 400),
        (honest, {"X-Tenant-Id": "globex"}, 403),
        (honest, {"Authorization": "Bearer submit-token-of-globex"}, 403),
        (honest, {"Authorization": "Bearer no"}, 401),
    ]


def test_no_forgery_takes_the_id_of_an_honest_record(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        honest = body(1)
        pcs_id = members(1)["pcs_id"]
        for sent, headers, status in forgeries(1):
            assert server.submit(sent, headers).status == status, sent
            assert server.get(pcs_id).status == 404
            assert server.get(pcs_id, "globex").status == 404
        # Not after a restart either, which settles again whatever the inbox holds open.
        server.kill()
    assert folder.fsck()[1]["records"] == 0
    with ServerProcess(folder) as server:
        answer = server.submit(honest)
        assert (answer.status, answer.is_replayed) == (200, False)
        for sent, headers, status in forgeries(1):
            assert server.submit(sent, headers).status == status, sent
        again = server.submit(honest)
        assert (again.status, again.is_replayed, again.body) == (200, True, answer.body)
        assert server.get(pcs_id).json["conflicts"] == []
        server.stop()
    code, report = folder.fsck()
    assert (code, report["records"], report["conflicts"]) == (0, 1, 0)


def test_a_body_is_in_the_inbox_as_it_was_sent_whatever_it_is(folder: Folder) -> None:
    bodies = [
        b"{",
        b"",
        b"\x00\xff not JSON \xfe",
        body(1) + b"\r\n\t ",
        body(1, signer=MALLORY),
        body(2).replace(b'"n":64', b'"n" : 6.4e1'),
        b"[" * 65_536,
    ]
    with ServerProcess(folder) as server:
        assert [server.submit(sent).status for sent in bodies] == [
            400, 400, 400, 200, 401, 200, 400,
        ]  # fmt: skip
        server.submit(
            body(3), {"X-Tenant-Id": "acme", "Authorization": "Bearer submit-token-of-acme"}
        )
        # These are refused before the inbox.
        server.submit(body(4), {"Content-Encoding": "gzip"})
        server.submit(body(4), {"Authorization": "Bearer no"})
        server.submit(b" " * 65_537)
        server.kill()
    kept = inbox_bodies(folder)
    assert [payload for _, payload in kept] == [*bodies, body(3)]
    assert kept[0][0] == Received()
    assert kept[-1][0] == Received(identified_tenant="acme", tenant_header="acme")
    assert folder.fsck()[1]["inbox_bodies"] == len(kept)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can be filled without harm."""
    with small_disk(tmp_path, 1) as mount:
        yield mount


def test_nothing_is_parsed_that_could_not_be_logged(folder: Folder, tiny_disk: Path) -> None:
    inbox = folder.data / "inbox-0"
    inbox.symlink_to(tiny_disk / "inbox")
    (tiny_disk / "inbox").mkdir()
    with ServerProcess(folder, "--mend-interval-s", "0.05") as server:
        first = server.submit(body(1))
        assert first.status == 200
        filler = tiny_disk / "filler"
        with filler.open("wb") as file:
            free = shutil.disk_usage(tiny_disk).free
            file.write(b"\0" * free)
        # The first of these may still fit into a page that was there already.
        sent = [b"{" + b" " * 8_000, b'"not a record"' + b" " * 8_000, body(1) + b" " * 8_000]
        answers = [server.submit(data) for data in sent]
        assert [(answer.status, answer.json["code"]) for answer in answers] == [
            (503, "storage_unavailable")
        ] * 3
        ready = server.ask("GET", "/ready")
        assert ready.status == 503
        assert any(reason.startswith("fenced: ") for reason in ready.json["reasons"])
        filler.unlink()
        while server.ask("GET", "/ready").status != 200:
            pass
        assert server.submit(sent[0]).status == 400
        again = server.submit(body(1))
        assert (again.is_replayed, again.body) == (True, first.body)
        server.stop()
    assert folder.fsck()[0] == 0


def test_keys_of_both_algorithms_stand_for_their_own_records_only(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    # The tag of the shared-secret key over the other key's record, and the other way round.
    by_hmac, by_ed25519 = body(fresh_epoch), body(fresh_epoch, signer=ACME_NEXT)
    for sent, kid in ((by_hmac, ACME_NEXT.kid), (by_ed25519, ACME.kid)):
        start = sent.index(b'"kid":"') + 7
        forged = sent[:start] + kid.encode() + sent[start + len(kid) :]
        answer = shared_server.submit(forged)
        assert (answer.status, answer.json["code"]) == (401, "signature_invalid")
    # The public half of a key is no secret of it.
    public = ACME_NEXT.public
    assert public is not None
    hmac_by_public = body(fresh_epoch, signer=Signer("acme", ACME_NEXT.kid, public))
    assert shared_server.submit(hmac_by_public).json["code"] == "signature_invalid"
    assert shared_server.submit(body(fresh_epoch, signer=GLOBEX)).status == 200
    assert shared_server.get(members(fresh_epoch)["pcs_id"]).status == 404
