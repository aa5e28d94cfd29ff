"""The error tree: each branch is one answer to "what now?"."""

from fractal_lba.protocol import errors
from fractal_lba.protocol.errors import (
    ContractError,
    CorruptionError,
    DurabilityError,
    FencedError,
    FractalError,
    FullError,
    KeyringError,
    LockedError,
    Refusal,
    RefusalCode,
    UnavailableError,
)


def test_every_error_stands_on_one_branch() -> None:
    branches: dict[type[FractalError], set[type[FractalError]]] = {
        ContractError: {Refusal, KeyringError},
        DurabilityError: {CorruptionError, FencedError, FullError, LockedError},
        UnavailableError: set(),
    }
    known = {FractalError, *branches, *(leaf for leaves in branches.values() for leaf in leaves)}
    defined = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, Exception)
    }
    assert defined == known
    for branch, leaves in branches.items():
        assert branch.__bases__ == (FractalError,)
        assert all(leaf.__bases__ == (branch,) for leaf in leaves)


def test_the_tree_at_the_top_names_every_error() -> None:
    assert errors.__doc__ is not None
    for name in vars(errors):
        if name.endswith("Error") or name == "Refusal":
            assert name in errors.__doc__


def test_a_refusal_carries_its_code_reason_and_member() -> None:
    refusal = Refusal(RefusalCode.INVALID_RECORD, "missing", "n: expected 3, got 2", member="n")
    assert (refusal.code, refusal.reason, refusal.member) == ("invalid_record", "missing", "n")
    assert str(refusal) == "n: expected 3, got 2"


def test_unavailable_says_when_to_come_back() -> None:
    assert UnavailableError("x").retry_after_s is None
    assert UnavailableError("x", retry_after_s=1.5).retry_after_s == 1.5
