"""What was ever on the disk of a simulated server, and what of it was forgotten, when and why.

A record may be forgotten an hour behind its deadline and no earlier, and its bytes are never
decided a second time. What was received before its deadline and left open by a process that ended
is settled first; what another process has in hand meanwhile may find it forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.support.sim_ledger import Found, Ledger, Said

from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.tenant_policy import Policies

_NS_PER_MS: Final = 1_000_000
_MS_PER_DAY: Final = 86_400_000
_LATE_MS: Final = 3_600_000
"""So long behind its deadline a record is forgotten at the earliest."""


@dataclass(slots=True)
class _Once:
    """A decision that is on disk, or was.

    Attributes:
        since_s: When it was first seen there.
        until_s: When it was seen forgotten; ``None`` while it is remembered.
    """

    found: Found
    since_s: float
    until_s: float | None = None


class Past:
    """What was ever on disk.

    Args:
        policies: How long each tenant's records are kept.
        created_ms: Returns when a stored record says it was made.
        now_s: Returns the time of the world.

    Attributes:
        latest_ns: The latest that a clock of the server's machine ever said.
    """

    def __init__(
        self,
        policies: Policies,
        *,
        created_ms: Callable[[bytes], int],
        now_s: Callable[[], float],
    ) -> None:
        self.latest_ns = 0
        self._policies = policies
        self._created_ms = created_ms
        self._now_s = now_s
        self._all: dict[RecordKey, list[_Once]] = {}
        self._floors: dict[str, int] = {}
        self._evidence: dict[RecordKey, set[str]] = {}

    def note(self, ledger: Ledger) -> list[tuple[RecordKey, Found]]:
        """Note what a ledger holds; return what it is now first seen to forget."""
        for key, found in ledger.decisions.items():
            # A mark whose sync failed may be gone again.
            self._once(key, found).until_s = None
        for key, contents in ledger.conflicts.items():
            self._evidence.setdefault(key, set()).update(contents)
        forgotten = []
        for key, found in ledger.forgotten:
            once = self._once(key, found)
            if once.until_s is None:
                once.until_s = self._now_s()
                forgotten.append((key, found))
                assert found.kept is not None
                floor_ms = max(found.kept.from_ms, self._floors.get(key.tenant, 0))
                self._floors[key.tenant] = floor_ms
        return forgotten

    def is_due(self, key: RecordKey, found: Found) -> bool:
        """Tell whether a record may be forgotten by now."""
        from_ms = max(self._created_ms(found.record), found.said.received_ns // _NS_PER_MS)
        until_ms = from_ms + self._horizon_ms(key)
        return (until_ms + _LATE_MS) * _NS_PER_MS <= self.latest_ns

    def is_in_time(self, key: RecordKey, created_ms: int, *, received_ns: int) -> bool:
        """Tell whether a new record that is received now is within every horizon."""
        is_young = created_ms + self._horizon_ms(key) >= received_ns // _NS_PER_MS
        return is_young and created_ms > self.floor_ms(key.tenant)

    def is_ever_late(self, key: RecordKey, created_ms: int) -> bool:
        """Tell whether there was a moment by now at which a new record came too late."""
        return not self.is_in_time(key, created_ms, received_ns=self.latest_ns)

    def floor_ms(self, tenant: str) -> int:
        """Return from when on what a tenant makes may be new; -1 where nothing was forgotten."""
        return self._floors.get(tenant, -1)

    def was(self, key: RecordKey, content: str, since_s: float) -> list[Said]:
        """Return what was said of a content that was forgotten since then."""
        return [
            once.found.said
            for once in self._all.get(key, ())
            if once.until_s is not None
            and once.until_s >= since_s
            and once.found.said.content == content
        ]

    def was_another(self, key: RecordKey, content: str, since_s: float) -> bool:
        """Tell whether another content of an id was forgotten since then."""
        return any(
            once.until_s is not None
            and once.until_s >= since_s
            and once.found.said.content != content
            for once in self._all.get(key, ())
        )

    def is_remembered_since(self, key: RecordKey, before_s: float) -> bool:
        """Tell whether an id that was decided before is remembered ever since."""
        return any(
            once.until_s is None and once.since_s < before_s for once in self._all.get(key, ())
        )

    def is_again(self, key: RecordKey, found: Found) -> bool:
        """Tell whether the very bytes of a decision are those of one that was forgotten."""
        return any(
            once.until_s is not None
            and once.found.record == found.record
            and not _is_same(once.found, found)
            for once in self._all.get(key, ())
        )

    def at(self, key: RecordKey, seq: int) -> Found | None:
        """Return the decision of an id that has a number, remembered or not."""
        found = (once.found for once in self._all.get(key, ()))
        return next((each for each in found if each.place.seq == seq), None)

    def evidence(self, key: RecordKey) -> set[str]:
        """Return every content that was ever kept as evidence under an id."""
        return self._evidence.get(key, set())

    def contents(self, key: RecordKey) -> set[str]:
        """Return every content that an id was ever decided for."""
        return {once.found.said.content for once in self._all.get(key, ())}

    def _once(self, key: RecordKey, found: Found) -> _Once:
        every = self._all.setdefault(key, [])
        for once in every:
            if _is_same(once.found, found):
                return once
        every.append(_Once(found, self._now_s()))
        return every[-1]

    def _horizon_ms(self, key: RecordKey) -> int:
        return self._policies.of(key.tenant).horizon_days * _MS_PER_DAY


def _is_same(one: Found, other: Found) -> bool:
    return one.place.seq == other.place.seq and one.said == other.said
