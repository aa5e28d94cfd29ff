"""The names of what must hold in a simulated world, whatever its processes say."""

from typing import Final

from tests.support.power_runs import Invariant


class Law(Invariant):
    """The names of what must hold in a world, beside those of one disk."""

    DURABLE_FIRST: Final = "what is acknowledged is on disk"
    ONE_OUTCOME: Final = "an id has one outcome, and every repeat gets its first answer"
    VERIFIED_FIRST: Final = "nothing unverified is looked up, remembered or answered"
    LOG_FIRST: Final = "a body is on disk before anything is done with it"
    INDEX_FOLLOWS: Final = "the index holds what the ledger says"
    CONFLICTS_REPORTED: Final = "a conflict is answered as one, and its evidence kept"
    AS_OF_RECEIPT: Final = "what was logged is decided as of its receipt"
    HONEST_ANSWERED: Final = "an honest record is not refused"
    EMPTY_IN_THE_END: Final = "outboxes are empty once faults stop"
    NOTED_IS_DECIDED: Final = "what an agent notes was decided"
    WITHIN_QUOTA: Final = "no tenant gets more than its day holds"
    NO_BUG: Final = "nothing meets a bug"
    ONE_OWNER: Final = "a shard has one owner"
    KEPT_UNTIL_DUE: Final = "nothing is forgotten before its time"
    FORGOTTEN_FOR_GOOD: Final = "the bytes of a forgotten record are never decided again"


LAWS: Final = frozenset(
    value for kind in (Invariant, Law) for name, value in vars(kind).items() if name.isupper()
)
