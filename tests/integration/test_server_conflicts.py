"""The same id with another content: reported, kept as evidence, never an overwrite."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.oracle import records as oracle
from tests.support.server_process import Folder, Reply, ServerProcess
from tests.support.signed import ACME_NEXT, body

from fractal_lba.protocol.reading import parse_record

EVIDENCE_MAX = 8


def content(sent: bytes) -> str:
    return oracle.content_digest(dict(parse_record(sent).members))


def other(epoch: int, n: int, **changes: Any) -> bytes:  # noqa: ANN401 - a member of any type
    """Return another content under the epoch's id: as many as there are ``n``."""
    return body(epoch, n=1_000 + n, **changes)


def is_conflict(answer: Reply) -> bool:
    return (answer.status, answer.json["code"]) == (409, "pcs_id_conflict")


def test_a_conflict_names_both_contents_and_the_first_receipt(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    sent = body(fresh_epoch)
    first = shared_server.submit(sent)
    answer = shared_server.submit(other(fresh_epoch, 1))
    assert answer.json == {
        "type": "urn:fractal-lba:problem:pcs_id_conflict",
        "title": "pcs id conflict",
        "status": 409,
        "code": "pcs_id_conflict",
        "detail": "pcs_id: expected the content that was decided first, got another",
        "pcs_id": first.json["pcs_id"],
        "first_content_digest": content(sent),
        "content_digest": content(other(fresh_epoch, 1)),
        "first_received_at": first.headers["x-received-at"],
        "request_id": answer.headers["x-request-id"],
    }
    assert answer.status == 409
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_first_answer_stays_and_the_evidence_is_shown(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    first = shared_server.submit(body(fresh_epoch))
    contents = [other(fresh_epoch, 1), other(fresh_epoch, 2, regime="sticky")]
    for sent in (*contents, *contents):  # the second time it is kept already
        assert is_conflict(shared_server.submit(sent))
    # Signed anew by the next key it is the same content still.
    assert is_conflict(shared_server.submit(other(fresh_epoch, 1, signer=ACME_NEXT)))
    again = shared_server.submit(body(fresh_epoch))
    assert (again.status, again.is_replayed, again.body) == (200, True, first.body)
    got = shared_server.get(first.json["pcs_id"]).json
    assert got["outcome"] == first.json
    assert [conflict["content_digest"] for conflict in got["conflicts"]] == [
        content(sent) for sent in contents
    ]
    assert all(conflict["received_at"] >= got["received_at"] for conflict in got["conflicts"])


def test_a_record_that_was_not_accepted_holds_its_id_too(
    shared_server: ServerProcess, fresh_epoch: int
) -> None:
    refused = shared_server.submit(body(fresh_epoch, D_hat=3.0))
    assert refused.status == 422
    assert is_conflict(shared_server.submit(body(fresh_epoch)))
    again = shared_server.submit(body(fresh_epoch, D_hat=3.0))
    assert (again.status, again.is_replayed, again.body) == (422, True, refused.body)


def test_evidence_is_kept_once_for_each_content_and_for_eight_at_most(folder: Folder) -> None:
    epoch = 5
    contents = [other(epoch, n) for n in range(12)]
    with ServerProcess(folder) as server:
        first = server.submit(body(epoch))
        for sent in [*contents, *contents]:
            answer = server.submit(sent)
            assert is_conflict(answer)
            assert answer.json["content_digest"] == content(sent)
        shown = server.get(first.json["pcs_id"]).json["conflicts"]
        assert [conflict["content_digest"] for conflict in shown] == [
            content(sent) for sent in contents[:EVIDENCE_MAX]
        ]
        server.kill()
    code, report = folder.fsck()
    assert (code, report["records"], report["conflicts"]) == (0, 1, EVIDENCE_MAX)
    with ServerProcess(folder) as server:
        assert server.get(first.json["pcs_id"]).json["conflicts"] == shown
        assert is_conflict(server.submit(contents[0]))
        assert is_conflict(server.submit(contents[-1]))
        again = server.submit(body(epoch))
        assert (again.is_replayed, again.body) == (True, first.body)
        server.stop()
    assert folder.fsck()[1]["conflicts"] == EVIDENCE_MAX


def test_contents_that_arrive_at_once_have_one_winner(folder: Folder) -> None:
    epochs, contents = range(1, 7), range(3)
    sent = [(epoch, other(epoch, n)) for epoch in epochs for n in contents for _ in range(4)]
    with ServerProcess(folder) as server:
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda item: (*item, server.submit(item[1])), sent))
        for epoch in epochs:
            mine = [(body_, answer) for each, body_, answer in answers if each == epoch]
            accepted = [(body_, answer) for body_, answer in mine if answer.status == 200]
            winner = {content(body_) for body_, _ in accepted}
            assert len(winner) == 1
            assert len({answer.body for _, answer in accepted}) == 1
            assert sum(not answer.is_replayed for _, answer in accepted) == 1
            refused = [answer for _, answer in mine if answer.status != 200]
            assert len(refused) == 4 * (len(contents) - 1)
            assert all(is_conflict(answer) for answer in refused)
            assert {answer.json["first_content_digest"] for answer in refused} == winner
        server.stop()
    code, report = folder.fsck()
    # Each losing content is evidence once, however many sent it at the same time.
    assert (code, report["records"], report["stored_twice"]) == (0, len(epochs), 0)
    assert report["conflicts"] == len(epochs) * (len(contents) - 1)
