"""A power cut over a ``MemoryDisk``: what no sync made durable is kept, lost, torn or reordered.

Each change that is not on the platter has a fate of its own: written bytes are kept, lost, kept up
to any byte, or by whole sectors in any choice; where they made the file longer, the length may have
come through without them, over zeros or over what the blocks held before. A name that was given,
changed or removed is kept or forgotten; a rename may leave both names. So what was written later
may be there where what was written earlier is not.
"""

import random
from collections.abc import Iterator
from typing import Final

from tests.support.memory_disk import MemoryDisk
from tests.support.memory_nodes import Directory, Inode, Named, Names, Resized, Written, splice

SECTOR_BYTES: Final = 512
KEEPING: Final = (0.0, 0.0, 0.5, 0.5, 1.0)
"""How likely a change is kept, drawn once for each cut: so all and none are common, too."""

KINDS: Final = (
    "write kept",
    *(
        f"write {what}{over}"
        for what in ("lost", "torn at a byte", "torn by sectors")
        for over in ("", " over zeros", " over stale bytes")
    ),
    "later change kept, earlier one lost",
    "new length lost",
    "new name forgotten",
    "rename forgotten",
    "rename left both names",
    "removal forgotten",
    "pages dropped by a failed sync",
    "file system gone read-only",
)
"""Every kind of fault that the disk counts when it came to something."""


def cut_power(disk: MemoryDisk, chance: random.Random) -> None:
    """End every process and leave of the disk what survives.

    Args:
        disk: Restarted with what it then holds; ``happened`` counts what was done.
        chance: Decides over each change.
    """
    _Cut(disk, chance).run()


class _Cut:
    def __init__(self, disk: MemoryDisk, chance: random.Random) -> None:
        self._disk = disk
        self._chance = chance
        self._keeping = chance.choice(KEEPING)
        self._kept_order = 0
        self._lost_order = 1 << 62

    def run(self) -> None:
        for inode in list(_inodes(self._disk.tree)):
            self._settle_file(inode)
        self._settle_names(self._disk.tree)
        if self._lost_order < self._kept_order:
            self._disk.happened["later change kept, earlier one lost"] += 1
        self._disk.restart()

    def _settle_file(self, inode: Inode) -> None:
        inode.version += 1
        for change in inode.dirty:
            if isinstance(change, Resized):
                if self._keeps(change.order):
                    change.apply(inode.platter)
                elif change.size != len(inode.platter):
                    self._disk.happened["new length lost"] += 1
            else:
                self._settle_write(change, inode.platter)
        inode.dirty = []
        inode.lost_pages = set()
        if len(inode.cache) > len(inode.platter):
            self._disk.keep_stale(bytes(inode.cache[len(inode.platter) :]))
        inode.cache = bytearray(inode.platter)

    def _settle_write(self, change: Written, platter: bytearray) -> None:
        before = bytes(platter)
        if self._keeps(change.order):
            change.apply(platter)
            self._disk.happened["write kept"] += 1
            return
        kind = "write lost"
        # The length may come through before the bytes.
        over = self._chance.choice(("", " over zeros", " over stale bytes"))
        if over:
            self._lengthen(change, platter, is_stale="stale" in over)
        match self._chance.choice(("lost", "byte", "byte", "sectors")):
            case "byte":
                end = self._chance.randrange(len(change.data))
                splice(platter, change.offset, change.data[:end])
                kind = "write torn at a byte"
            case "sectors":
                for start, piece in _sectors(change):
                    if self._chance.random() < 0.5:
                        splice(platter, start, piece)
                kind = "write torn by sectors"
            case _:
                pass
        self._disk.happened["write lost" if platter == before else kind + over] += 1

    def _lengthen(self, change: Written, platter: bytearray, *, is_stale: bool) -> None:
        missing = change.offset + len(change.data) - len(platter)
        if missing <= 0:
            return
        filler = b"\0"
        if is_stale and self._disk.stale:
            old = self._chance.choice(self._disk.stale)
            filler = old[self._chance.randrange(len(old)) :]
        platter.extend((filler * (missing // len(filler) + 1))[:missing])

    def _settle_names(self, folder: Directory) -> None:
        names: Names = folder.platter
        for change in folder.dirty:
            if self._keeps(change.order):
                both = isinstance(change, Named) and change.old is not None and self._is_rare()
                old = change.old if isinstance(change, Named) else None
                node = names.get(old) if old is not None else None
                change.apply(names)
                if both and old is not None and node is not None:
                    names[old] = node
                    self._disk.happened["rename left both names"] += 1
            elif not isinstance(change, Named):
                self._disk.happened["removal forgotten"] += 1
            elif change.old is None:
                self._disk.happened["new name forgotten"] += 1
            else:
                self._disk.happened["rename forgotten"] += 1
        folder.dirty = []
        folder.cache = dict(names)
        for node in names.values():
            if isinstance(node, Directory):
                self._settle_names(node)

    def _keeps(self, order: int) -> bool:
        if self._chance.random() < self._keeping:
            self._kept_order = max(self._kept_order, order)
            return True
        self._lost_order = min(self._lost_order, order)
        return False

    def _is_rare(self) -> bool:
        return self._chance.random() < 0.5  # not every file system does it


def _inodes(folder: Directory) -> Iterator[Inode]:
    """Yield every file that may have a name after the cut, once."""
    seen: set[int] = set()
    waiting = [folder]
    while waiting:
        each = waiting.pop()
        changed = [change.node for change in each.dirty if isinstance(change, Named)]
        for node in (*each.platter.values(), *each.cache.values(), *changed):
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, Directory):
                waiting.append(node)
            else:
                yield node


def _sectors(change: Written) -> Iterator[tuple[int, bytes]]:
    start, end = change.offset, change.offset + len(change.data)
    for sector in range(start // SECTOR_BYTES, (end - 1) // SECTOR_BYTES + 1):
        low, high = max(start, sector * SECTOR_BYTES), min(end, (sector + 1) * SECTOR_BYTES)
        yield low, change.data[low - start : high - start]
