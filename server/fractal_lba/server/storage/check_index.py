"""Check an index against itself and against what was read of its ledger."""

import hashlib
from array import array
from collections.abc import Iterator

from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.problems import Kind, Report
from fractal_lba.server.core.usage import NO_USAGE, Usage, day_name
from fractal_lba.server.storage.index_view import IndexView

_PAGE = 65_536
_ITEMS_AT_ONCE = 1_000
_ITEM_BYTES = 256
"""About what an entry takes: a pace counts in bytes."""

Counted = dict[tuple[str, int], Usage]
"""What tenants sent, by tenant and day."""


class Numbers:
    """Whose entry each decision number is: 8 bytes for each, as a digest of kind and key."""

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def put(self, seq: int, key: RecordKey, *, is_decision: bool) -> None:
        """Note whose entry a number is."""
        page = self._pages.get(seq // _PAGE)
        if page is None:
            page = self._pages[seq // _PAGE] = array("Q", bytes(8 * _PAGE))
        page[seq % _PAGE] = _digest(key, is_decision=is_decision)

    def is_known(self, seq: int) -> bool:
        """Tell whether anything was noted of a number."""
        page = self._pages.get(seq // _PAGE)
        return page is not None and page[seq % _PAGE] != 0

    def is_of(self, seq: int, key: RecordKey, *, is_decision: bool) -> bool:
        """Tell whether a number is that entry's."""
        page = self._pages.get(seq // _PAGE)
        return page is not None and page[seq % _PAGE] == _digest(key, is_decision=is_decision)


def _digest(key: RecordKey, *, is_decision: bool) -> int:
    text = "\0".join((*key, "decision" if is_decision else "appended"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1


def check_index(  # noqa: PLR0913 - what was read of a ledger has several sides
    view: IndexView,
    where: str,
    *,
    numbers: Numbers,
    is_whole: bool,
    last_seq: int,
    report: Report,
) -> Iterator[int]:
    """Check that an index holds nothing that its ledger does not, and yield the bytes read.

    That it holds everything the ledger does is checked entry by entry where that is read.

    Args:
        view: Of the index.
        where: Its name.
        numbers: Of every entry that was read.
        is_whole: Whether the ledger was read without a loss.
        last_seq: The last number that was read or is known to be lost.
        report: Gets the problems.

    Raises:
        DurabilityError: LMDB failed.
    """
    if view.through > last_seq:
        report.add(
            Kind.LEDGER_ENDS_EARLY,
            where,
            f"expected a ledger up to decision {view.through}, got one up to {last_seq}",
        )
    read = 0
    for key, known in view.items():
        read += 1
        if read % _ITEMS_AT_ONCE == 0:
            yield _ITEMS_AT_ONCE * _ITEM_BYTES
        seqs = [(known.place.seq, True)]
        seqs += [(each.place.seq, False) for each in known.conflicts]
        seqs += [(each.place.seq, False) for each in known.resolutions]
        for seq, is_decision in seqs:
            if seq > view.through or (not numbers.is_known(seq) and not is_whole):
                continue  # it came while the ledger was read, or damage took it
            if not numbers.is_of(seq, key, is_decision=is_decision):
                what = "a decision" if is_decision else "a conflict or a resolution"
                report.add(
                    Kind.INDEX_STRAY,
                    where,
                    f"expected in the ledger what the index has of {key.pcs_id},"
                    f" got no such {what} under number {seq}",
                )
    records, in_numbers, in_streams = view.counts()
    if not records == in_numbers == in_streams:
        report.add(
            Kind.INDEX_ORDERS_DIFFER,
            where,
            f"expected {records} records in each order,"
            f" got {in_numbers} by number and {in_streams} by stream",
        )
    for first, last in view.losses:
        report.add(Kind.IDS_LOST, where, f"expected every decision, got none for {first} to {last}")


def check_usage(
    where: str, *, least: Counted, counted: Counted, most: Counted, report: Report
) -> None:
    """Check what an index counted for each tenant and day.

    It lies between what the ledger has up to the index's checkpoint and all that was read after the
    counters were.
    """
    for tenant, day in sorted(most.keys() | counted.keys()):
        low, got, high = (found.get((tenant, day), NO_USAGE) for found in (least, counted, most))
        if not (
            low.records <= got.records <= high.records and low.bytes <= got.bytes <= high.bytes
        ):
            report.add(
                Kind.INDEX_USAGE_DIFFERS,
                where,
                f"expected the usage of {tenant} on {day_name(day)} as the ledger has it,"
                " got another",
            )
