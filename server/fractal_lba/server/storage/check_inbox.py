"""Check an inbox: its bytes, its bodies' meta blocks, and the marks against the bodies."""

from collections.abc import Iterator
from pathlib import Path

from fractal_lba.protocol.errors import FractalError
from fractal_lba.server.core import inbox_frame
from fractal_lba.server.core.problems import Kind, Report
from fractal_lba.wal import Damage, Disk, Frame, scan_folder
from fractal_lba.wal.inspection import check_footers


def check_inbox(disk: Disk, folder: Path, report: Report) -> Iterator[int]:
    """Read an inbox whole and yield the bytes of each piece.

    A mark may name bodies that retention removed, and a body more than once; it never names itself,
    another mark, or what came after it.

    Raises:
        ContractError: A segment is another stream's, or of a newer format.
        DurabilityError: The disk refused to be read.
    """
    stream = folder.name
    undecided: set[int] = set()
    marks: set[int] = set()
    damaged: set[str] = set()
    for item in scan_folder(disk, folder, stream):
        if isinstance(item, Damage):
            if item.is_loss:
                damaged.add(item.segment)
                report.damage.append(f"{stream}: {item}")
                report.add(Kind.INBOX_DAMAGED, f"{stream} {item.segment}", str(item))
            else:
                report.torn_bytes += item.length
            continue
        _, frame = item
        where = f"{stream} frame {frame.seq}"
        try:
            if inbox_frame.decode_received(frame.meta) is not None:
                report.inbox_bodies += 1
                undecided.add(frame.seq)
            else:
                marks.add(frame.seq)
                _finish(frame, where, undecided, marks, report)
        except FractalError as error:
            report.add(Kind.INBOX_FRAME_UNREADABLE, where, str(error))
        yield len(frame.payload)
    report.undecided_inbox += len(undecided)
    for size, damage in check_footers(disk, folder, stream, damaged):
        if damage is not None:
            report.add(Kind.FOOTER_DIFFERS, f"{stream} {damage.segment}", damage.what)
        yield size


def _finish(frame: Frame, where: str, undecided: set[int], marks: set[int], report: Report) -> None:
    finished = inbox_frame.decode_finished(frame.payload)
    wrong = [seq for seq in finished if seq >= frame.seq or seq in marks]
    if wrong:
        report.add(
            Kind.MARK_DIFFERS,
            where,
            f"expected bodies that came before it, got {len(wrong)} other numbers,"
            f" {wrong[0]} the first",
        )
    undecided.difference_update(finished)
