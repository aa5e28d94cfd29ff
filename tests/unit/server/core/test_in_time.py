import pytest
from msgspec.structs import replace
from tests.support.signed import CREATED_AT
from tests.support.verified import verified

from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.protocol.timestamps import parse_timestamp
from fractal_lba.server.core.in_time import admit_new
from fractal_lba.server.core.run import Verified

_DAY_MS = 86_400_000
_CREATED_MS = parse_timestamp(CREATED_AT)
_RECORD = verified()


def _admit(record: Verified, received_ms: int, floor_ms: int | None = None) -> None:
    received = replace(record, received_ns=received_ms * 1_000_000)
    admit_new(received, horizon_days=400, floor_ms=floor_ms)


def test_the_horizon_is_inclusive_to_the_millisecond() -> None:
    last_ms = _CREATED_MS + 400 * _DAY_MS
    _admit(_RECORD, last_ms)
    with pytest.raises(Refusal) as caught:
        _admit(_RECORD, last_ms + 1)
    assert caught.value.code is RefusalCode.BEYOND_HORIZON
    assert caught.value.member == "created_at"


def test_a_key_is_judged_at_receipt_and_before_the_horizon() -> None:
    expiring = replace(_RECORD, not_after_ms=_CREATED_MS)
    _admit(expiring, _CREATED_MS)
    with pytest.raises(Refusal) as caught:
        _admit(expiring, _CREATED_MS + 401 * _DAY_MS)
    assert caught.value.code is RefusalCode.KEY_NOT_VALID_NOW
    assert caught.value.member == "kid"


def test_a_key_is_not_valid_before_its_time() -> None:
    later = replace(_RECORD, not_before_ms=_CREATED_MS + 1)
    _admit(later, _CREATED_MS + 1)
    with pytest.raises(Refusal, match="got acme-1 outside its time") as caught:
        _admit(later, _CREATED_MS)
    assert caught.value.code is RefusalCode.KEY_NOT_VALID_NOW


def test_version_0_1_names_no_key_and_signs_no_time() -> None:
    old = replace(_RECORD, version="0.1", created_ms=None, not_after_ms=_CREATED_MS)
    _admit(replace(old, not_after_ms=None), _CREATED_MS + 10_000 * _DAY_MS, floor_ms=1 << 60)
    with pytest.raises(Refusal) as caught:
        _admit(old, _CREATED_MS + 1)
    assert caught.value.member is None


def test_what_was_made_before_the_floor_is_beyond_the_horizon() -> None:
    _admit(_RECORD, _CREATED_MS, floor_ms=_CREATED_MS - 1)
    with pytest.raises(Refusal, match="after that of every record that was forgotten") as caught:
        _admit(_RECORD, _CREATED_MS, floor_ms=_CREATED_MS)
    assert caught.value.code is RefusalCode.BEYOND_HORIZON
