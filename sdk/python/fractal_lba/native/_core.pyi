# What sdk/python/native gives Python.

from collections.abc import Mapping, Sequence
from typing import TypeAlias, final

INTERFACE: int
# What records are judged by: the set's version, its tolerance of D̂ and of the budget.
PARAMS: tuple[str, float, float]

# Tenant, family, pcs_id, kid, the first and the last ms the key is valid at, version, record and
# content digest, created_ms, status, answer, version of the parameters, whether it is remembered,
# what spoils it, stored bytes, shard_id, epoch, regime.
Fields: TypeAlias = tuple[
    str,
    str,
    str,
    str,
    int | None,
    int | None,
    str,
    str,
    str,
    int,
    int,
    bytes,
    str,
    bool,
    None,
    bytes,
    str,
    int,
    str,
]

@final
class Checker:
    def __new__(
        cls, ring: bytes, keys: Mapping[str, tuple[str, int | None, int | None]], family: str
    ) -> Checker: ...
    def check(self, bodies: Sequence[bytes]) -> list[Fields | None]: ...
