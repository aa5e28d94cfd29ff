"""What is true in a simulated world, whatever its processes say: what was signed, sent, answered.

Each answer is held to it where it leaves the server, before anything else happens, and what is on
disk at every call that changes it. That is read from the platter: what a power cut would leave at
that very moment.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from tests.support.memory_disk import MemoryDisk
from tests.support.memory_index import MemoryIndex
from tests.support.power_runs import InvariantError
from tests.support.sim_law import Law
from tests.support.sim_ledger import NOBODY, NOTHING, Found, Ledger, Ledgers, Said
from tests.support.sim_past import Past
from tests.support.sim_process import Process

from fractal_lba.protocol.authenticate import authenticate
from fractal_lba.protocol.errors import Refusal
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.timestamps import parse_timestamp
from fractal_lba.protocol.versions import created_at_ms, stored_bytes_of
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.known import CONFLICTS_KEPT_MAX, RecordKey, key_of
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.core.usage import NO_USAGE, over_day

_DECIDED: Final = frozenset({200, 202, 422})
_NOT_FINAL: Final = frozenset({429, 503})
_NS_PER_MS: Final = 1_000_000


class _Window(msgspec.Struct, frozen=True):
    created_at: str
    epoch: int
    shard_id: str


_WINDOWS: Final = msgspec.json.Decoder(_Window)


@dataclass(frozen=True, slots=True)
class Meaning:
    """A body that verifies: whose, what it says, and what a ledger keeps of it."""

    key: RecordKey
    content: str
    kid: str
    stored: bytes
    created_ms: int


@dataclass(slots=True)
class _Receipt:
    """A body that was logged, by which process if that is known, and whether it came in time."""

    created_ms: int
    inbox: str
    by: Process | None
    is_owed: bool


class Truth:
    """What is true of one server's machine.

    Args:
        disk: The machine's.
        data: The data folder.
        shards: Their names.
        ring: Every key there ever is.
        policies: What is asked of each tenant.
    """

    def __init__(
        self,
        disk: MemoryDisk,
        data: Path,
        shards: Sequence[str],
        ring: Keyring,
        policies: Policies,
    ) -> None:
        self._disk = disk
        self._data = data
        self._shards = shards
        self._ring = ring
        self._policies = policies
        self._first: dict[RecordKey, Said] = {}
        self._home: dict[RecordKey, str] = {}
        self._conflicts: set[tuple[RecordKey, str]] = set()
        self._numbers: dict[tuple[str, int], tuple[str, str]] = {}
        self._signed: dict[tuple[RecordKey, str], set[bytes]] = {}
        self._signed_keys: set[RecordKey] = set()
        self._receipts: dict[tuple[RecordKey, str], set[int]] = {}
        self._logged: dict[tuple[RecordKey, str], dict[tuple[int, bytes], _Receipt]] = {}
        self._logged_keys: set[RecordKey] = set()
        self._ledgers = Ledgers(disk, data)
        self._held: dict[str, Ledger] = {}
        self._owners: dict[str, Process] = {}
        self._of_inboxes: dict[str, Process] = {}
        self.past: Final = Past(
            policies,
            created_ms=lambda record: parse_timestamp(_WINDOWS.decode(record).created_at),
            now_s=lambda: asyncio.get_running_loop().time(),
        )
        self.broken: InvariantError | None = None
        self.on_logged: Callable[[RecordKey], None] = lambda _: None
        self.meaning = lru_cache(maxsize=None)(self._meaning)

    @property
    def first(self) -> Mapping[RecordKey, Said]:
        """The first answer to each id that got one."""
        return self._first

    def hold(self, condition: object, law: str, seen: object) -> None:
        """Raise ``InvariantError`` unless the condition is true, and remember it.

        Whoever is told may catch it: code under test that takes it for an error of its own.
        """
        if not condition:
            error = InvariantError(law, str(seen))
            self.broken = self.broken or error
            raise error

    def bug(self, error: Exception) -> None:
        """Remember an exception that nobody expected; what broke before it stays the first."""
        if isinstance(error, InvariantError):
            self.broken = self.broken or error
        elif self.broken is None:
            self.broken = InvariantError(Law.NO_BUG, repr(error))
            self.broken.__cause__ = error

    def arriving(self, bodies: Sequence[bytes], received_ns: int) -> None:
        """Note bodies that the server is about to log."""
        for meaning in filter(None, map(self.meaning, bodies)):
            what = meaning.key, meaning.content
            self._signed.setdefault(what, set()).add(meaning.stored)
            self._signed_keys.add(meaning.key)
            self._receipts.setdefault(what, set()).add(received_ns)

    def logged(
        self,
        bodies: Sequence[bytes],
        whole: bytes,
        received_ns: int,
        *,
        inbox: str,
        by: Process | None,
    ) -> None:
        """Note bodies that the server says are logged, and hold it to that.

        ``by`` is the process that logged them, ``None`` where they were found in an inbox.
        """
        self.hold(
            self._ledgers.is_logged(whole), Law.LOG_FIRST, "a body was taken that is not on disk"
        )
        for meaning in filter(None, map(self.meaning, bodies)):
            what = meaning.key, meaning.content
            self._logged_keys.add(meaning.key)
            receipts = self._logged.setdefault(what, {})
            if (at := (received_ns, meaning.stored)) not in receipts:
                is_owed = self._is_valid(meaning.kid, received_ns) and self.past.is_in_time(
                    meaning.key, meaning.created_ms, received_ns=received_ns
                )
                receipts[at] = _Receipt(meaning.created_ms, inbox, by, is_owed)
            self.on_logged(meaning.key)

    def looked_up(self, key: RecordKey) -> None:
        """Hold a lookup to what came before it."""
        self.hold(key in self._signed_keys, Law.VERIFIED_FIRST, f"{key.pcs_id} was looked up")
        self.hold(key in self._logged_keys, Law.LOG_FIRST, f"{key.pcs_id} was looked up")

    def answered(self, body: bytes, answer: Answer, *, asked_s: float) -> None:
        """Hold an answer that leaves the server, asked for at a time, to what is known."""
        meaning = self.meaning(body)
        if answer.status in _NOT_FINAL:
            return
        if meaning is None:
            self.hold(answer.status in {400, 401}, Law.VERIFIED_FIRST, answer)
            return
        key, content = meaning.key, meaning.content
        found = self.decision(key)
        if answer.code == "beyond_horizon":
            is_late = self.past.is_ever_late(key, meaning.created_ms)
            self.hold(is_late, Law.HONEST_ANSWERED, answer)
            is_known = self.past.is_remembered_since(key, asked_s)
            self.hold(not is_known, Law.ONE_OUTCOME, answer)
        elif answer.status == 409:
            if self.past.was_another(key, content, asked_s):
                return  # forgotten while it was answered
            evidence = self.ledger_of(key).conflicts.get(key, set())
            is_kept = content in evidence or len(evidence) >= CONFLICTS_KEPT_MAX
            self.hold(found is not None and is_kept, Law.CONFLICTS_REPORTED, answer)
            self.hold(found and found.said.content != content, Law.ONE_OUTCOME, answer)
            self._home[key] = self.shard_of(key)
            self._conflicts.add((key, content))
        elif answer.code == "key_not_valid_now":
            signer = self._ring.keys[meaning.kid]
            self.hold(signer.not_after_ms is not None, Law.HONEST_ANSWERED, answer)
        else:
            self.hold(answer.status in _DECIDED, Law.HONEST_ANSWERED, answer)
            said = Said(content, answer.status, answer.body, answer.received_ns or 0)
            if said in self.past.was(key, content, asked_s):
                return  # forgotten while it was answered
            self.hold(found is not None, Law.DURABLE_FIRST, answer)
            first = self._first.setdefault(key, said)
            self.hold(first.content == said.content, Law.CONFLICTS_REPORTED, answer)
            self.hold(first == said and found and found.said == said, Law.ONE_OUTCOME, answer)
            if found is not None:
                home = self._home[key] = self.shard_of(key)
                self._numbers[home, found.place.seq] = key.pcs_id, said.content

    def owned(self, shard: str, process: Process) -> None:
        """Hold a process that opened a shard to being the only one."""
        owner = self._owners.get(shard)
        self.hold(owner is None, Law.ONE_OWNER, (shard, process.name, owner and owner.name))
        self._owners[shard] = process

    def took(self, inbox: str, process: Process) -> None:
        """Note which process opened an inbox."""
        self._of_inboxes[inbox] = process

    def disowned(self, process: Process) -> None:
        """Note that a process has ended."""
        self._owners = {shard: of for shard, of in self._owners.items() if of is not process}

    def changed(self) -> None:
        """Hold what is on disk, which may have changed, to what was ever answered."""
        for shard in self._shards:
            ledger, before = self._ledger(shard), self._held.get(shard)
            if ledger is not before:
                self._hold_ledger(shard, ledger, NOTHING if before is None else before)
                self._held[shard] = ledger

    def noted(self, pcs_id: str) -> None:
        """Hold an outcome that an agent notes to what was decided."""
        is_decided = any(key.pcs_id == pcs_id for key in self._first)
        self.hold(is_decided, Law.NOTED_IS_DECIDED, f"{pcs_id} was noted")

    def hold_all(self) -> None:
        """Hold everything that is on disk to what was ever answered."""
        for shard in self._shards:
            ledger = self._held[shard] = self._ledger(shard)
            self._hold_ledger(shard, ledger, NOTHING)

    def hold_index(self, shard: str, index: MemoryIndex, *, is_whole: bool) -> None:
        """Hold an index to its ledger: nothing else in it, and where ``is_whole`` nothing less."""
        self.changed()
        ledger = self._ledger(shard)
        held = index.everything if is_whole else index.committed.records
        for key, known in held.items():
            # What is behind may not have heard of a mark yet.
            found = ledger.decisions.get(key) if is_whole else self.past.at(key, known.place.seq)
            self.hold(
                found is not None
                and (known.content_digest, known.status, known.received_ns, known.place.seq)
                == (found.said.content, found.said.status, found.said.received_ns, found.place.seq)
                and {each.content_digest for each in known.conflicts} <= self.past.evidence(key),
                Law.INDEX_FOLLOWS,
                (key, known, found),
            )
        if not is_whole:
            return
        missing = ledger.decisions.keys() - held.keys()
        self.hold(not missing, Law.INDEX_FOLLOWS, missing)
        for key, known in held.items():
            self.hold(known.place == ledger.decisions[key].place, Law.INDEX_FOLLOWS, (key, known))
            evidence = {each.content_digest for each in known.conflicts}
            self.hold(evidence == ledger.conflicts.get(key, set()), Law.INDEX_FOLLOWS, (key, known))
        for (tenant, day), usage in ledger.usage.items():
            self.hold(index.usage(tenant, day) == usage, Law.INDEX_FOLLOWS, (tenant, day, usage))

    def hold_settled(self) -> None:
        """Hold everything that was ever logged to have been decided; nothing is under way."""
        for (key, content), receipts in self._logged.items():
            if not any(each.is_owed for each in receipts.values()):
                continue
            if self._policies.of(key.tenant).records_per_day:
                continue  # it may have been over that
            decided = self.past.contents(key)
            self.hold(decided, Law.AS_OF_RECEIPT, (key, receipts))
            if content not in decided:
                kept = self.past.evidence(key)
                is_kept = content in kept or len(kept) >= CONFLICTS_KEPT_MAX
                self.hold(is_kept, Law.CONFLICTS_REPORTED, (key, content))

    def windows_of(self, shard_id: str) -> list[int]:
        """Return the epochs of a stream that were decided, in order."""
        decisions = (
            each for shard in self._shards for each in self._ledger(shard).decisions.values()
        )
        windows = (_WINDOWS.decode(found.record) for found in decisions)
        return sorted(window.epoch for window in windows if window.shard_id == shard_id)

    def decision(self, key: RecordKey) -> Found | None:
        """Return what would be left of an id's decision if the power went now."""
        for shard in self._shards:
            found = self._ledger(shard).decisions.get(key)
            if found is not None:
                return found
        return None

    def shard_of(self, key: RecordKey) -> str:
        """Return which shard holds an id; the first one where none does."""
        for shard in self._shards:
            if key in self._ledger(shard).decisions:
                return shard
        return self._shards[0]

    def ledger_of(self, key: RecordKey) -> Ledger:
        return self._ledger(self.shard_of(key))

    def _hold_ledger(self, shard: str, ledger: Ledger, before: Ledger) -> None:
        """Hold a ledger to what was answered, and what it did not hold before to what was sent."""
        self.hold(not ledger.is_twice, Law.NOTHING_TWICE, ledger.is_twice)
        for key, found in self.past.note(ledger):
            self.hold(self.past.is_due(key, found), Law.KEPT_UNTIL_DUE, (key, found))
            self._forget(shard, key)
        for key, found in ledger.decisions.items():
            if before.decisions.get(key) != found:
                is_alone = all(
                    key not in self._ledger(other).decisions
                    for other in self._shards
                    if other != shard
                )
                self.hold(is_alone, Law.NOTHING_TWICE, key)
                self._hold_decision(key, found)
        self._hold_usage(ledger, before)
        for key, first in self._first.items():
            if self._home[key] == shard:
                decision = ledger.decisions.get(key)
                self.hold(decision is not None, Law.NOTHING_LOST, key)
                is_same = decision and decision.said == first
                self.hold(is_same, Law.ONE_OUTCOME, (key, decision, first))
        for key, content in self._conflicts:
            if self._home[key] == shard:
                kept = ledger.conflicts.get(key, NOBODY)
                is_kept = content in kept or len(kept) >= CONFLICTS_KEPT_MAX
                self.hold(is_kept, Law.CONFLICTS_REPORTED, key)
        for (home, seq), what in self._numbers.items():
            if home == shard:
                # What was forgotten may be gone; what was not is held to be there above.
                is_same = ledger.numbers.get(seq, what) == what
                self.hold(is_same, Law.NO_NUMBER_TWICE, (seq, what))

    def _forget(self, shard: str, key: RecordKey) -> None:
        """Ask no more of an id, nor of what came too late for its tenant with its going.

        A process settles what others left open in its inboxes before it forgets anything.
        """
        self._first.pop(key, None)
        self._conflicts = {each for each in self._conflicts if each[0] != key}
        floor_ms, owner = self.past.floor_ms(key.tenant), self._owners.get(shard)
        for (other, _), receipts in self._logged.items():
            for receipt in receipts.values():
                is_left = receipt.by is not owner and owner is self._of_inboxes[receipt.inbox]
                if other.tenant == key.tenant and receipt.created_ms <= floor_ms and not is_left:
                    receipt.is_owed = False

    def _hold_usage(self, ledger: Ledger, before: Ledger) -> None:
        for (tenant, day), own in ledger.usage.items():
            if before.usage.get((tenant, day)) == own:
                continue
            used = sum(
                (self._ledger(each).usage.get((tenant, day), NO_USAGE) for each in self._shards),
                start=NO_USAGE,
            )
            over = over_day(self._policies.of(tenant), used)
            self.hold(over is None, Law.WITHIN_QUOTA, (tenant, used, over))

    def _hold_decision(self, key: RecordKey, found: Found) -> None:
        what = key, found.said.content
        self.hold(found.record in self._signed.get(what, set()), Law.VERIFIED_FIRST, (key, found))
        self.hold(not self.past.is_again(key, found), Law.FORGOTTEN_FOR_GOOD, (key, found))
        is_receipt = found.said.received_ns in self._receipts.get(what, set())
        is_valid = self._is_valid(found.kid, found.said.received_ns)
        self.hold(is_receipt and is_valid, Law.AS_OF_RECEIPT, (key, found))

    def _is_valid(self, kid: str, at_ns: int) -> bool:
        return self._ring.keys[kid].is_valid_at(at_ns // _NS_PER_MS)

    def _meaning(self, body: bytes) -> Meaning | None:
        try:
            found = authenticate(body, self._ring)
        except Refusal:
            return None
        stored, created_ms = stored_bytes_of(found.record), created_at_ms(found.record)
        assert created_ms is not None
        return Meaning(key_of(found), found.content_digest, found.key.kid, stored, created_ms)

    def _ledger(self, shard: str) -> Ledger:
        return self._ledgers.of(shard)
