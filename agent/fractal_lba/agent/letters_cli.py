"""``fractal-agent dead-letters``: list, show, retry and drop what was not accepted."""

import contextlib
import functools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from fractal_lba.agent.deadletters import DeadLetter
from fractal_lba.agent.folder import check_usable
from fractal_lba.agent.letters import Choice, Found, drop, letters_of, send_again
from fractal_lba.agent.ports import SystemClock
from fractal_lba.agent.tally import Exit
from fractal_lba.agent.usage import LETTERS_CODES, LETTERS_END
from fractal_lba.command.usage import epilog
from fractal_lba.protocol import ContractError, DurabilityError, LockedError
from fractal_lba.wal import RealDisk

_EPOCHS = re.compile(r"(?P<low>[0-9]{1,16})(?:-(?P<high>[0-9]{1,16}))?", re.ASCII)


def _epochs(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    if value is None:
        return None
    found = _EPOCHS.fullmatch(value)
    if found is None or int(found["high"] or found["low"]) < int(found["low"]):
        raise click.BadParameter(f"expected N or LOW-HIGH, got {value!r}")
    return int(found["low"]), int(found["high"] or found["low"])


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose letters; they come to it as one ``choice``."""

    @functools.wraps(command)
    def chosen(
        seqs: tuple[int, ...],
        statuses: tuple[int, ...],
        codes: tuple[str, ...],
        streams: tuple[str, ...],
        epochs: tuple[int, int] | None,
        **given: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        choice = Choice(
            seqs=frozenset(seqs),
            statuses=frozenset(statuses),
            codes=frozenset(codes),
            streams=frozenset(streams),
            epochs=epochs,
        )
        command(choice=choice, **given)

    for option in (
        click.option(
            "--epoch",
            "epochs",
            callback=_epochs,
            metavar="N|LOW-HIGH",
            help="Only of this epoch, or of these.",
        ),
        click.option(
            "--stream", "streams", multiple=True, metavar="ID", help="Only of this shard_id."
        ),
        click.option(
            "--code", "codes", multiple=True, help="Only with this code (unknown_key, …)."
        ),
        click.option(
            "--status", "statuses", type=int, multiple=True, help="Only with this status (401, …)."
        ),
        _DATA,
        click.argument("seqs", metavar="[SEQ]...", nargs=-1, type=click.IntRange(min=1)),
    ):
        chosen = option(chosen)
    return chosen


_DATA = click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The agent's folder.",
)
_JSON = click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")


@click.group("dead-letters", epilog=LETTERS_END)
def dead_letters() -> None:
    """List, show, send again or drop the windows that were not accepted.

    Each is named by SEQ, its number in the outbox; without numbers and options that choose, list
    takes all.
    """


@dead_letters.command(
    "list",
    epilog=epilog(
        examples=[
            "fractal-agent dead-letters list --data ./outbox --status 401",
            "fractal-agent dead-letters list --data ./outbox --stream sensors.csv --epoch 10-20",
        ],
        exit_codes=LETTERS_CODES,
    ),
)
@_choosing
@_JSON
def list_letters(choice: Choice, data: Path, is_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Show a line for each letter, and how many there are of each answer; also beside an agent."""
    with _ending():
        found, letters = letters_of(RealDisk(), data, choice)
        if is_json:
            listed = [_members(letter) for letter in letters]
            click.echo(json.dumps(_summary(found) | {"letters": listed}))
        else:
            for letter in letters:
                click.echo(
                    f"{letter.outbox_seq}  {letter.status} {letter.code or '-'}"
                    f"  {letter.shard_id} {letter.epoch}  {letter.at}"
                )
            _say_summary(found)
    sys.exit(Exit.UNWRITABLE if found.damaged else Exit.DONE)


@dead_letters.command(
    "show",
    epilog=epilog(
        examples=["fractal-agent dead-letters show --data ./outbox 17"], exit_codes=LETTERS_CODES
    ),
)
@_choosing
def show(choice: Choice, data: Path) -> None:
    """Print whole letters, one JSON object in each line: the answer, and the signed record."""
    with _ending():
        found, letters = letters_of(RealDisk(), data, choice)
        if not found.seqs:
            raise ContractError(f"{data}: expected a dead letter that fits, got none")
        for letter in letters:
            click.echo(msgspec.json.encode(letter))
    sys.exit(Exit.UNWRITABLE if found.damaged else Exit.DONE)


@dead_letters.command(
    "retry",
    epilog=epilog(
        examples=[
            "fractal-agent dead-letters retry --data ./outbox --code unauthenticated",
            "fractal-agent dead-letters retry --data ./outbox --all",
        ],
        exit_codes=LETTERS_CODES,
    ),
)
@_choosing
@click.option("--all", "is_all", is_flag=True, help="All of them, where nothing else chooses.")
@_JSON
def retry(choice: Choice, data: Path, is_all: bool, is_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Put letters back into the outbox; the next run of the agent sends them.

    Refused while an agent runs on the folder: stop it, do this, start it again. What was accepted
    meanwhile gets its first answer; what is refused again is a dead letter again.
    """
    with _ending():
        _check_chosen(choice, is_all=is_all)
        check_usable(RealDisk(), data)
        found = send_again(RealDisk(), data, choice, now_ns=SystemClock().now_ns())
    _done(found, len(found.seqs), "put back into the outbox", is_json=is_json)


@dead_letters.command(
    "drop",
    epilog=epilog(
        examples=["fractal-agent dead-letters drop --data ./outbox --code pcs_id_conflict --yes"],
        exit_codes=LETTERS_CODES,
    ),
)
@_choosing
@click.option("--all", "is_all", is_flag=True, help="All of them, where nothing else chooses.")
@click.option("--damaged", "is_damaged", is_flag=True, help="The lines that cannot be read.")
@click.option("--yes", "is_sure", is_flag=True, help="Needed: what is dropped is gone for good.")
@_JSON
def drop_letters(  # noqa: PLR0913 - one argument for each option
    *,
    choice: Choice,
    data: Path,
    is_all: bool,
    is_damaged: bool,
    is_sure: bool,
    is_json: bool,
) -> None:
    """Remove letters for good. Refused while an agent runs on the folder."""
    with _ending():
        if is_damaged and not (choice.is_all and not is_all):
            raise ContractError("--damaged: expected nothing else that chooses, got more")
        if not is_damaged:
            _check_chosen(choice, is_all=is_all)
        if not is_sure:
            found, _ = letters_of(RealDisk(), data, choice)
            count = found.damaged if is_damaged else len(found.seqs)
            raise ContractError(
                f"drop: expected --yes, since what is dropped is gone for good, got {count} chosen"
            )
        check_usable(RealDisk(), data)
        found = drop(RealDisk(), data, choice, now_ns=SystemClock().now_ns(), is_damaged=is_damaged)
    count = found.damaged if is_damaged else len(found.seqs)
    _done(found, count, "dropped", is_json=is_json)


def _check_chosen(choice: Choice, *, is_all: bool) -> None:
    if choice.is_all != is_all:
        got = "both" if is_all else "neither"
        raise ContractError(
            "dead letters: expected SEQ, --status, --code, --stream or --epoch, or --all,"
            f" got {got}"
        )


def _members(letter: DeadLetter) -> dict[str, object]:
    return {
        "outbox_seq": letter.outbox_seq,
        "status": letter.status,
        "code": letter.code,
        "shard_id": letter.shard_id,
        "epoch": letter.epoch,
        "pcs_id": letter.pcs_id,
        "at": letter.at,
    }


def _summary(found: Found) -> dict[str, object]:
    return {
        "chosen": len(found.seqs),
        "reasons": dict(found.reasons.most_common()),
        "damaged": found.damaged,
    }


def _say_summary(found: Found) -> None:
    if not found.seqs:
        click.echo("0 dead letters that fit", err=True)
    for reason, count in found.reasons.most_common():
        click.echo(f"{count} × {reason}", err=True)
    if found.damaged:
        click.echo(f"fractal-agent: {found.damaged} lines cannot be read", err=True)


def _done(found: Found, count: int, what: str, *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps(_summary(found)))
    else:
        click.echo(f"{count} {what}")


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Turn what went wrong into a line on stderr and an exit code."""
    try:
        yield
    except (ContractError, LockedError) as error:
        click.echo(f"fractal-agent: {error}", err=True)
        sys.exit(Exit.UNUSABLE)
    except DurabilityError as error:
        click.echo(f"fractal-agent: {error}", err=True)
        sys.exit(Exit.UNWRITABLE)
