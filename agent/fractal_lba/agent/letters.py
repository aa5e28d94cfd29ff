"""What a person does with dead letters: choose some, send them again, drop them.

A letter is named by its ``outbox_seq``; the last line of one number counts. Sending again puts the
record back into the outbox, as a window with a number of its own, and takes the letter out of the
file; in this order, so that a crash in between leaves it in both and it is sent once more than
needed. The folder's lock is held meanwhile: an agent that runs there is not interfered with.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from fractal_lba.agent.deadletters import DeadLetter, read_dead_letters, take_out
from fractal_lba.agent.folder import check_used
from fractal_lba.agent.frames import AgainMeta, window_frame
from fractal_lba.agent.opening import open_log
from fractal_lba.protocol import ContractError, LockedError, Refusal, parse_record
from fractal_lba.wal import Disk, NewFrame

Letters = Generator[DeadLetter, None, None]

_TOGETHER = 64
"""Records written with one sync; each is held in memory until then, and a segment holds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which letters are meant: those that fit everything that is said.

    Attributes:
        seqs: Numbers.
        statuses: Of the answers.
        codes: Of the problem documents.
        streams: ``shard_id``.
        epochs: Lowest and highest; None for any.
    """

    seqs: frozenset[int] = frozenset()
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    epochs: tuple[int, int] | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is said."""
        return not (self.seqs or self.statuses or self.codes or self.streams or self.epochs)

    def fits(self, letter: DeadLetter) -> bool:
        """Return whether a letter is meant."""
        low, high = self.epochs or (letter.epoch, letter.epoch)
        return (
            (not self.seqs or letter.outbox_seq in self.seqs)
            and (not self.statuses or letter.status in self.statuses)
            and (not self.codes or letter.code in self.codes)
            and (not self.streams or letter.shard_id in self.streams)
            and low <= letter.epoch <= high
        )


@dataclass(slots=True)
class Found:
    """What a file holds.

    Attributes:
        seqs: The numbers of the letters that fit.
        reasons: Status and code of these → how many.
        damaged: Lines that cannot be read.
    """

    seqs: set[int] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    damaged: int = 0


def letters_of(
    disk: Disk, data: Path, choice: Choice
) -> tuple[Found, Generator[DeadLetter, None, None]]:
    """Return what a folder's dead letters add up to, and those that fit, in order.

    Raises:
        ContractError: The folder is none of an agent, or a newer program wrote it.
        DurabilityError: The disk refused.
    """
    check_used(disk, data)
    last: dict[int, int] = {}
    found = Found()
    for at, letter in enumerate(read_dead_letters(disk, data)):
        if letter is None:
            found.damaged += 1
        else:
            last[letter.outbox_seq] = at
    counting = set(last.values())

    def fitting() -> Letters:
        with closing(read_dead_letters(disk, data)) as lines:
            for at, letter in enumerate(lines):
                if letter is not None and at in counting and choice.fits(letter):
                    yield letter

    for letter in fitting():
        found.seqs.add(letter.outbox_seq)
        found.reasons[f"{letter.status} {letter.code or ''}".rstrip()] += 1
    return found, fitting()


def send_again(disk: Disk, data: Path, choice: Choice, *, now_ns: int) -> Found:
    """Put letters back into the outbox, for the next run of the agent to send.

    Raises:
        ContractError: As ``letters_of``, or none fits, or the record of one cannot be sent; nothing
            was changed.
        LockedError: An agent runs on the folder; nothing was changed.
        DurabilityError: The disk refused: each of them is a letter, or in the outbox, or both.
    """
    return _changed(disk, data, choice, now_ns, put_back=True)


def drop(disk: Disk, data: Path, choice: Choice, *, now_ns: int, is_damaged: bool = False) -> Found:
    """Remove letters for good, and lines that cannot be read where these are meant.

    Raises:
        ContractError: As ``letters_of``, or none fits; nothing was changed.
        LockedError: An agent runs on the folder; nothing was changed.
        DurabilityError: The disk refused: either all of them are gone or none is.
    """
    return _changed(disk, data, choice, now_ns, is_damaged=is_damaged)


def _changed(  # noqa: PLR0913 - one thing done in two ways
    disk: Disk,
    data: Path,
    choice: Choice,
    now_ns: int,
    *,
    put_back: bool = False,
    is_damaged: bool = False,
) -> Found:
    letters_of(disk, data, choice)  # before anything is locked or mended: is it such a folder?
    try:
        stream, _ = open_log(disk, data, now_ns=now_ns)
    except LockedError as error:
        raise LockedError(
            f"{error}; stop that agent (SIGTERM), do this again, and start it again"
        ) from error
    try:
        # As it is now that nobody adds to it.
        found, letters = letters_of(disk, data, choice)
        if not (found.damaged if is_damaged else found.seqs):
            raise ContractError(f"{data}: expected a dead letter that fits, got none")
        if put_back:
            with closing(letters):
                for letter in letters:
                    _check(letter)  # all of them, before one is put back
            _, letters = letters_of(disk, data, choice)
            with closing(letters):
                while some := list(islice(letters, _TOGETHER)):
                    stream.append([_frame(letter, now_ns) for letter in some])

        def is_taken(letter: DeadLetter | None) -> bool:
            return is_damaged if letter is None else not is_damaged and letter.outbox_seq in seqs

        seqs = found.seqs
        take_out(disk, data, is_taken)
    finally:
        stream.close()
    return found


def _check(letter: DeadLetter) -> None:
    """Refuse a letter whose record cannot be sent, or is not the one that was answered."""
    where = f"dead letter {letter.outbox_seq}"
    try:
        record = parse_record(bytes(letter.record))
    except Refusal as error:
        raise ContractError(
            f"{where}: expected a signed record, got another ({error}): drop it, or choose others"
        ) from error
    named = (letter.pcs_id, letter.shard_id, letter.epoch)
    if (record.pcs_id, record.shard_id, record.epoch) != named:
        raise ContractError(
            f"{where}: expected the record of pcs_id, shard_id and epoch beside it, got another:"
            " drop it, or choose others"
        )


def _frame(letter: DeadLetter, now_ns: int) -> NewFrame:
    meta = AgainMeta(
        letter=letter.outbox_seq, shard_id=letter.shard_id, next_epoch=letter.epoch + 1
    )
    return window_frame(meta, bytes(letter.record), received_ns=now_ns)
