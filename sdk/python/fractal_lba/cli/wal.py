"""``wal``: look at a stream of segments (inbox, ledger, outbox), whoever is writing it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fractal_lba.cli.streams import EXIT_REFUSED, Unusable, write_json, write_output
from fractal_lba.cli.usage import require_command
from fractal_lba.command.usage import epilog
from fractal_lba.protocol import ContractError, DurabilityError, JsonValue, format_timestamp

if TYPE_CHECKING:
    from fractal_lba.wal import Damage
    from fractal_lba.wal.inspection import SegmentReport, StreamReport, Verified

_NS_PER_MS = 1_000_000


@click.group(
    "wal",
    invoke_without_command=True,
    short_help="Look at a stream of segments.",
    epilog=epilog(
        examples=[
            "fractal-lba wal inspect /var/lib/fractal-lba/data/inbox-0",
            "fractal-lba wal verify /var/lib/fractal-lba/data/shard-0/ledger",
        ],
        exit_codes={
            0: "printed, or sound",
            1: "verify: damaged",
            2: "DIR or an option cannot be used, or the output not written",
        },
    ),
)
@click.pass_context
def wal_command(context: click.Context) -> None:
    """Look at a stream of segments: an inbox, a ledger, an agent's outbox.

    No lock is taken and nothing is written: a server or an agent may be using it.
    """
    require_command(context)


_json_option = click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")


@wal_command.command(
    "inspect",
    short_help="List the segments of a stream.",
    epilog=epilog(
        examples=[
            "fractal-lba wal inspect /var/lib/fractal-lba/data/inbox-0",
            "fractal-lba wal inspect /var/lib/fractal-lba/data/shard-0/ledger --json",
            "fractal-lba wal inspect /var/lib/fractal-agent/outbox",
        ],
        exit_codes={
            0: "printed",
            2: "DIR cannot be read or holds no stream of this format, or the output not written",
        },
    ),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_json_option
def inspect_command(*, folder: Path, is_json: bool) -> None:
    """List the segments of the stream in DIR: frames, bytes, state, when begun and sealed.

    Headers, footers and the last segment are read; ``verify`` reads every byte. A segment is
    sealed (whole, with a footer), ended (by a recovery), open (the last one) or damaged (its header
    does not verify).
    """
    from fractal_lba.wal import RealDisk  # noqa: PLC0415 - only this command needs the extra
    from fractal_lba.wal.inspection import inspect_folder  # noqa: PLC0415 - as above

    try:
        report = inspect_folder(RealDisk(), folder)
    except (ContractError, DurabilityError) as error:
        raise Unusable(str(error)) from error
    if is_json:
        write_json(_stream_json(report))
    else:
        write_output("".join(f"{line}\n" for line in _stream_lines(report)).encode())


@wal_command.command(
    "verify",
    short_help="Read every byte of a stream and name what is damaged.",
    epilog=epilog(
        examples=[
            "fractal-lba wal verify /var/lib/fractal-lba/data/shard-0/ledger",
            "fractal-lba wal verify /var/lib/fractal-agent/outbox --json",
        ],
        exit_codes={
            0: "sound; a write under way, or what the next recovery puts aside, is no damage",
            1: "damaged: each place is named with its segment, offset and lost frames",
            2: "DIR cannot be read or holds no stream of this format, or the output not written",
        },
    ),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@_json_option
@click.pass_context
def verify_command(context: click.Context, *, folder: Path, is_json: bool) -> None:
    """Read every byte of the stream in DIR and name each damage, with the frames lost in it.

    What a retention removed is not missed; what was lost in front of the rest is.
    """
    from fractal_lba.wal import RealDisk  # noqa: PLC0415 - only this command needs the extra
    from fractal_lba.wal.inspection import verify_folder  # noqa: PLC0415 - as above

    try:
        verified = verify_folder(RealDisk(), folder)
    except (ContractError, DurabilityError) as error:
        raise Unusable(str(error)) from error
    if is_json:
        write_json(_verified_json(verified))
    else:
        write_output("".join(f"{line}\n" for line in _verified_lines(verified)).encode())
    if verified.damage:
        context.exit(EXIT_REFUSED)


def _stream_lines(report: "StreamReport") -> list[str]:
    head = f"stream {report.stream}: {len(report.segments)} segments, {report.size} bytes"
    if report.kept_from > 1:
        head += f", kept from frame {report.kept_from} on"
    rows = [("SEGMENT", "FRAMES", "BYTES", "STATE", "BEGUN", "SEALED")]
    rows += [
        (
            segment.name.removesuffix(".seg"),
            _frames(segment),
            str(segment.size),
            segment.state,
            _time(segment.created_ns) or "?",
            _time(segment.sealed_ns) or "-",
        )
        for segment in report.segments
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [head, *lines, *(f"beside it: {name}" for name in report.others)]


def _verified_lines(verified: "Verified") -> list[str]:
    report = verified.report
    held = f"{verified.frames} frames"
    if verified.frames:
        held += f", {verified.first_seq} to {verified.last_seq}"
    state = f"{len(verified.damage)} damaged places" if verified.damage else "sound"
    return [
        *(f"damaged: {each}" for each in verified.damage),
        *(f"unfinished: {each}" for each in verified.unfinished),
        f"stream {report.stream}: {state}; {len(report.segments)} segments, {held}",
    ]


def _stream_json(report: "StreamReport") -> dict[str, JsonValue]:
    return {
        "stream": report.stream,
        "bytes": report.size,
        "kept_from": report.kept_from,
        "segments": [
            {
                "name": segment.name,
                "state": segment.state.value,
                "first_seq": segment.first_seq,
                "next_seq": segment.next_seq,
                "bytes": segment.size,
                "begun": _time(segment.created_ns),
                "sealed": _time(segment.sealed_ns),
            }
            for segment in report.segments
        ],
        "others": list(report.others),
    }


def _verified_json(verified: "Verified") -> dict[str, JsonValue]:
    return {
        **_stream_json(verified.report),
        "is_sound": not verified.damage,
        "frames": verified.frames,
        "first_seq": verified.first_seq,
        "last_seq": verified.last_seq,
        "damage": [_damage_json(each) for each in verified.damage],
        "unfinished": [_damage_json(each) for each in verified.unfinished],
    }


def _damage_json(damage: "Damage") -> dict[str, JsonValue]:
    return {
        "segment": damage.segment,
        "offset": damage.offset,
        "length": damage.length,
        "what": damage.what,
        "first_lost": damage.first_seq,
        "last_lost": damage.last_seq,
    }


def _frames(segment: "SegmentReport") -> str:
    if segment.first_seq is None or segment.next_seq is None:
        return "?"
    if segment.next_seq == segment.first_seq:
        return "none"
    return f"{segment.first_seq}-{segment.next_seq - 1}"


def _time(ns: int | None) -> str | None:
    return None if ns is None else format_timestamp(ns // _NS_PER_MS)
