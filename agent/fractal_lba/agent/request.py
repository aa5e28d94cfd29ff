"""One request: windows out, an answer to each of them or one to all of them back."""

from collections.abc import Sequence
from dataclasses import dataclass

from fractal_lba.agent.load import BYTES_MAX
from fractal_lba.agent.ports import Server
from fractal_lba.agent.verdict import is_about
from fractal_lba.client import Answer, UnavailableError, split_batch
from fractal_lba.protocol import Delivery, Record, sent_bytes


@dataclass(slots=True, kw_only=True)
class Past:
    """What befell a window in this run.

    Attributes:
        begun_s: When it was first read to be sent.
        attempts: Requests that carried it.
        refusals: Of these, those that were answered, the window itself not finally.
    """

    begun_s: float
    attempts: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window on its way."""

    seq: int
    record: Record
    past: Past

    @property
    def shard_id(self) -> str:
        """Its stream."""
        return self.record.shard_id


def bodies_of(windows: Sequence[Window], *, at: str) -> Sequence[bytes]:
    """Return the bytes of a request at a time, of as many of these as it carries."""
    bodies = [
        sent_bytes(
            window.record,
            Delivery(attempt=window.past.attempts + 1, sent_at=at, outbox_seq=window.seq),
        )
        for window in windows
    ]
    return next(split_batch(bodies, bytes_max=BYTES_MAX))


async def ask(
    server: Server, windows: Sequence[Window], bodies: Sequence[bytes], *, is_batch: bool
) -> Sequence[Answer] | Answer:
    """Send windows and return the answer to each, or the one to all of them.

    Raises:
        UnavailableError: Nothing came that answers them.
    """
    answers: Sequence[Answer]
    if is_batch:
        answer = await server.batch(bodies)
        if answer.refusal is not None:
            return answer.refusal
        answers = answer.lines
    else:
        answers = [await server.submit(bodies[0])]
    for window, each in zip(windows, answers, strict=True):
        _check_about(window, each)
    return answers


def _check_about(window: Window, answer: Answer) -> None:
    if not is_about(answer, window.record.pcs_id):
        raise UnavailableError(
            f"answer {answer.status} to outbox frame {window.seq}: expected a decision about this"
            " record or a problem document with a code, got something else: is the URL that of"
            " a fractal-server?",
            retry_after_s=answer.retry_after_s,
        )
