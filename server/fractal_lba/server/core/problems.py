"""What can be wrong with what is on disk, and what to do about it.

A closed list: whoever reads the disk names a kind and a place, and the remedy follows from the
kind. ``fsck`` prints both, ``scrub`` counts by kind.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec


class Kind(StrEnum):
    """The kinds of problem."""

    LEDGER_DAMAGED = "ledger_damaged"
    LEDGER_ENDS_EARLY = "ledger_ends_early"
    LEDGER_MISSING = "ledger_missing"
    INBOX_DAMAGED = "inbox_damaged"
    FOOTER_DIFFERS = "footer_differs"
    UNREADABLE = "unreadable"
    ENTRY_UNREADABLE = "entry_unreadable"
    ENTRY_DIFFERS = "entry_differs"
    SIGNATURE_DIFFERS = "signature_differs"
    DECIDED_TWICE = "decided_twice"
    WRONG_SHARD = "wrong_shard"
    APPENDED_ALONE = "appended_alone"
    INBOX_FRAME_UNREADABLE = "inbox_frame_unreadable"
    NOTE_UNREADABLE = "note_unreadable"
    MARK_DIFFERS = "mark_differs"
    INDEX_UNREADABLE = "index_unreadable"
    INDEX_LACKS = "index_lacks"
    INDEX_STRAY = "index_stray"
    INDEX_DIFFERS = "index_differs"
    INDEX_ORDERS_DIFFER = "index_orders_differ"
    INDEX_USAGE_DIFFERS = "index_usage_differs"
    IDS_LOST = "ids_lost"


_RESTORE = (
    "Stop the server, keep a copy of the data folder, restore the named segment file from a backup"
    " and run fsck --repair (runbooks/FlbaDamageFound.md)."
)
_REBUILD = (
    "Stop the server and run fsck --repair: it builds the index again from the ledger, of which it"
    " changes nothing."
)
_TELL = (
    "The bytes are what was written, so no disk did this: keep a copy of the data folder and report"
    " it as a defect of the release that wrote them; compare with a backup, and restore the"
    " segment from it where the two differ."
)

REMEDIES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.LEDGER_DAMAGED: _RESTORE,
        Kind.LEDGER_ENDS_EARLY: (
            "The index knows decisions that the ledger's files no longer hold. Stop the server and"
            " put the missing segment files back, whole, from a backup; delete nothing of the"
            " index, which alone knows those ids (runbooks/FlbaDamageFound.md)."
        ),
        Kind.LEDGER_MISSING: (
            "The shard's ledger, which init began, is not there, and a server does not serve the"
            " shard. Mount what is not mounted, or put the shard's folder back from a backup; only"
            " where there is none, fsck --repair --accept-loss begins an empty one, and what it"
            " held may be decided again (runbooks/FlbaDamageFound.md)."
        ),
        Kind.INBOX_DAMAGED: (
            "Nothing that was acknowledged is in it: that is in the ledger. Restore the named"
            " segment from a backup if a body in it may still be undecided; otherwise leave it,"
            " retention sets it aside as .bad."
        ),
        Kind.FOOTER_DIFFERS: (
            "Every frame of the segment verifies, so nothing is lost. Copy the segment from a"
            " backup while the server is stopped, and look at the disk's health."
        ),
        Kind.UNREADABLE: (
            "The disk or its permissions refuse to be read: look at dmesg, the disk's health and"
            " the owner of the files, then run fsck again."
        ),
        Kind.ENTRY_UNREADABLE: (
            "Run the release that the message names, or a later one: a downgrade is not possible."
            " Where it names none, keep a copy of the data folder and report it as a defect."
        ),
        Kind.ENTRY_DIFFERS: _TELL,
        Kind.SIGNATURE_DIFFERS: (
            "Either the keyring holds another key under this kid than the one that signed, or the"
            " entry is not what a server verified. Put the retired key back into the keyring; if"
            " the problem stays, keep a copy of the data folder and compare it with a backup."
        ),
        Kind.DECIDED_TWICE: (
            "The first decision stays the answer. Keep a copy of the data folder and report it as"
            " a defect: one server at a time should make this impossible."
        ),
        Kind.WRONG_SHARD: (
            "Whoever asks for this id is sent to another shard, which does not know it. Compare"
            " shards.json and the shards' folders with a backup: one of them was exchanged, renamed"
            " or edited. Put back what was there; no command moves records."
        ),
        Kind.APPENDED_ALONE: _TELL,
        Kind.INBOX_FRAME_UNREADABLE: (
            "Another release wrote it: let that one start, drain and stop, or a later one. What was"
            " acknowledged is in the ledger."
        ),
        Kind.NOTE_UNREADABLE: (
            "Stop the server and remove the note: it says no more than which bodies were being"
            " judged and which are poison, and the next start begins it anew"
            " (runbooks/FlbaPoisonBodies.md)."
        ),
        Kind.MARK_DIFFERS: (
            "Nothing acknowledged depends on it: a body that is settled again answers from the"
            " ledger. Keep a copy of the inbox and report it as a defect."
        ),
        Kind.INDEX_UNREADABLE: _REBUILD,
        Kind.INDEX_LACKS: _REBUILD,
        Kind.INDEX_STRAY: _REBUILD,
        Kind.INDEX_DIFFERS: _REBUILD,
        Kind.INDEX_ORDERS_DIFFER: _REBUILD,
        Kind.INDEX_USAGE_DIFFERS: _REBUILD,
        Kind.IDS_LOST: (
            "New ids are refused while these decisions are unreadable. Restore the segments that"
            " held them from a backup and run fsck --repair; only where there is none, start once"
            " with run --accept-loss, which lets those ids be decided again."
        ),
    }
)
"""What a person does about each kind."""

MENDED_BY_REPAIR = frozenset(kind for kind, remedy in REMEDIES.items() if remedy is _REBUILD) | {
    Kind.IDS_LOST
}
"""Kinds that a rebuilt index ends; ``IDS_LOST`` only where the segments are back."""

PROBLEMS_NAMED_MAX = 100
"""Problems are all counted, and so many are named: a report stays readable."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong: of which kind, where, what was expected and found, what to do."""

    kind: Kind
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:  # type: ignore[explicit-override]  # typing has it from 3.12 on
        """Return place and finding in a line."""
        return f"{self.where}: {self.what}"


class Report(msgspec.Struct, kw_only=True):
    """What was read and what is wrong.

    ``accepted`` does not count the escalated, ``records`` not the ``forgotten``, which are those
    that still stand in a ledger. ``torn_bytes`` were never acknowledged,
    ``undecided_inbox`` bodies are decided by the next start, and ``poison`` are the digests of
    bodies that ended the server and are set aside: none is a problem of what is stored.
    ``signatures_unchecked`` are those whose key is not in the keyring any more, ``kids_unknown``
    the keys; both only where signatures are asked for.
    """

    records: int = 0
    accepted: int = 0
    escalated: int = 0
    not_accepted: int = 0
    conflicts: int = 0
    resolutions: int = 0
    stored_twice: int = 0
    forgotten: int = 0
    inbox_bodies: int = 0
    undecided_inbox: int = 0
    poison: list[str] = msgspec.field(default_factory=list)
    torn_bytes: int = 0
    signatures_checked: int = 0
    signatures_unchecked: int = 0
    kids_unknown: list[str] = msgspec.field(default_factory=list)
    damage: list[str] = msgspec.field(default_factory=list)
    problem_count: int = 0
    problems: list[Problem] = msgspec.field(default_factory=list)
    repairs: list[str] = msgspec.field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem_count

    def add(self, kind: Kind, where: str, what: str) -> None:
        """Count a problem, and name it while there is room."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_NAMED_MAX:
            self.problems.append(Problem(kind=kind, where=where, what=what, remedy=REMEDIES[kind]))

    def confirmed_by(self, second: "Report") -> "Report":
        """Return what a second look found, with only those problems that both did.

        A recovery moves the last entries of a ledger while it is watched, and a write under way
        looks like damage for a moment. Where more was found than is named, all of it counts.
        """
        if second.problem_count > PROBLEMS_NAMED_MAX:
            return second
        both = [each for each in second.problems if each in self.problems]
        return msgspec.structs.replace(
            second,
            problems=both,
            problem_count=len(both),
            damage=[each for each in second.damage if each in self.damage],
        )
