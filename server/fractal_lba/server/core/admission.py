"""How often something may be asked for: a token bucket, as arithmetic on values."""

from dataclasses import dataclass

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``per_s`` tokens a second, at most ``burst`` saved up. ``per_s`` of 0 means no limit."""

    per_s: float
    burst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What is left, as of ``at_ns`` on a monotonic clock."""

    tokens: float
    at_ns: int


def full(rate: Rate, now_ns: int) -> Bucket:
    """Return the bucket of one that was not seen yet."""
    return Bucket(tokens=rate.burst, at_ns=now_ns)


def take(bucket: Bucket, rate: Rate, now_ns: int, *, wanted: float = 1) -> tuple[Bucket, float]:
    """Take ``wanted`` tokens, or none of them; 0 asks for no debt.

    Returns:
        The bucket afterwards, and the seconds until they are there: 0 where they were taken.
    """
    if rate.per_s <= 0:
        return bucket, 0.0
    earned = max(0, now_ns - bucket.at_ns) * rate.per_s / _NS_PER_S
    tokens = min(rate.burst, bucket.tokens + earned)
    if tokens >= wanted:
        return Bucket(tokens=tokens - wanted, at_ns=now_ns), 0.0
    return Bucket(tokens=tokens, at_ns=now_ns), (wanted - tokens) / rate.per_s


def owe(bucket: Bucket, rate: Rate, wanted: float) -> Bucket:
    """Return the bucket after ``wanted`` tokens more, which may leave a debt to be earned first."""
    if rate.per_s <= 0:
        return bucket
    return Bucket(tokens=bucket.tokens - wanted, at_ns=bucket.at_ns)


def give_back(bucket: Bucket, rate: Rate) -> Bucket:
    """Return the bucket with one token more, for what was taken and not used."""
    return Bucket(tokens=min(rate.burst, bucket.tokens + 1), at_ns=bucket.at_ns)
