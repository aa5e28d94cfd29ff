"""What a disk in memory keeps of a file or folder: what is seen, what is durable, the changes.

A file is cached in pages of ``PAGE_BYTES``.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PAGE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes that were written; ``order`` is among all changes of the disk."""

    order: int
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        splice(content, self.offset, self.data)


@dataclass(frozen=True, slots=True)
class Resized:
    """A length that was set."""

    order: int
    size: int

    def apply(self, content: bytearray) -> None:
        resize(content, self.size)


class Inode:
    """A file without its name: what processes see, what is durable, and what is between."""

    __slots__ = ("cache", "dirty", "lost_pages", "platter", "reserved", "version")

    def __init__(self) -> None:
        self.cache = bytearray()
        self.platter = bytearray()
        self.dirty: list[Written | Resized] = []
        self.lost_pages: set[int] = set()
        """Pages that a failed sync dropped: clean to every later sync, and never on the platter
        unless they are written to again."""
        self.reserved = 0
        """Up to where room was set aside for it."""
        self.version = 0
        """Counts what may have changed the platter."""

    @property
    def taken(self) -> int:
        """The bytes that it takes of the disk's room."""
        return max(len(self.cache), self.reserved)

    def sync(self) -> None:
        self.version += 1
        for change in self.dirty:
            change.apply(self.platter)
        self.dirty = []

    def sync_badly(self, chance: random.Random) -> int:
        """Leave each dirty page durable, dirty or dropped; return how many were dropped."""
        self.version += 1
        fates: dict[int, str] = {}
        kept: list[Written | Resized] = []
        before = len(self.lost_pages)
        for change in self.dirty:
            # What follows a length that is still to be set cannot overtake it.
            if isinstance(change, Resized):
                if kept or chance.random() < 0.5:
                    kept.append(change)
                else:
                    change.apply(self.platter)
                continue
            for page, piece in pages_of(change):
                is_behind = any(isinstance(each, Resized) for each in kept)
                choices = ("dirty", "dropped") if is_behind else ("durable", "dirty", "dropped")
                match fates.setdefault(page, chance.choice(choices)):
                    case "durable":
                        piece.apply(self.platter)
                    case "dirty":
                        kept.append(piece)
                    case _:
                        self.lost_pages.add(page)
        self.dirty = kept
        return len(self.lost_pages) - before


@dataclass(frozen=True, slots=True)
class Named:
    """A name that was given to a file or folder; one that was renamed had ``old`` before."""

    order: int
    name: str
    node: "Inode | Directory"
    old: str | None = None

    def apply(self, names: "Names") -> None:
        if self.old is not None and names.get(self.old) is self.node:
            del names[self.old]
        names[self.name] = self.node


@dataclass(frozen=True, slots=True)
class Removed:
    """A name that was removed."""

    order: int
    name: str

    def apply(self, names: "Names") -> None:
        names.pop(self.name, None)


class Directory:
    """A folder: its names as processes see them, the durable ones, and the changes between."""

    __slots__ = ("cache", "dirty", "platter")

    def __init__(self) -> None:
        self.cache: Names = {}
        self.platter: Names = {}
        self.dirty: list[Named | Removed] = []

    def change(self, change: Named | Removed) -> None:
        change.apply(self.cache)
        self.dirty.append(change)

    def sync(self) -> None:
        for change in self.dirty:
            change.apply(self.platter)
        self.dirty = []


Names = dict[str, Inode | Directory]


def splice(content: bytearray, offset: int, data: bytes) -> None:
    """Write into bytes as into a file: what is skipped is zeros."""
    if len(content) < offset:
        resize(content, offset)
    content[offset : offset + len(data)] = data


def resize(content: bytearray, size: int) -> None:
    """Set the length of bytes as of a file."""
    if len(content) > size:
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def pages_of(change: Written) -> Iterator[tuple[int, Written]]:
    start, end = change.offset, change.offset + len(change.data)
    for page in range(start // PAGE_BYTES, (end - 1) // PAGE_BYTES + 1):
        low, high = max(start, page * PAGE_BYTES), min(end, (page + 1) * PAGE_BYTES)
        yield page, Written(change.order, low, change.data[low - start : high - start])
