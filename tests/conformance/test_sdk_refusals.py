"""What no SDK may take is refused by all in the same words, whichever file it is asked under."""

import json
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from tests.support.sdk_drivers import CLIENTS, SDKS, Driver, require
from tests.support.signed import body

VECTORS: Final = Path(__file__).parents[2] / "golden_vectors"
FILES: Final = ("digests.json", "outcomes.json")
"""Those whose cases hold a record, and no case that is refused."""

SIGNED: Final = body(1)
SIG: Final[str] = json.loads(SIGNED)["sig"]
NO_RECORDS: Final = (
    b"",
    b"{}",
    b"[1",
    b"\xff",
    SIGNED[:-1],
    SIGNED + b"x",
    *(
        SIGNED.replace(SIG.encode(), bent.encode())
        for bent in ("Zg==", SIG[:-1], SIG[4:], SIG + SIG, SIG.replace("=", "*"))
    ),
)
"""What no outbox keeps: signatures of impossible lengths among it."""


def refusals() -> list[dict[str, Any]]:
    cases = json.loads((VECTORS / "records_1_0.json").read_text(encoding="utf-8"))["tests"]
    return [case for case in cases if case["result"] == "invalid"]


@pytest.mark.parametrize("name", SDKS)
def test_a_body_that_is_no_record_is_refused_under_every_file(name: str) -> None:
    require(name)
    cases = refusals()
    asked = [(file, case) for file in FILES for case in cases]
    with Driver(name) as driver:
        lines = [
            orjson.dumps({"op": "answer", "file": file, "input": case["input"]})
            for file, case in asked
        ]
        answers = [orjson.loads(line) for line in driver.ask_all(lines)]
    assert len(answers) > 500
    for (file, case), answer in zip(asked, answers, strict=True):
        stated = {"result": "invalid", "expected": case["expected"]}
        assert answer == stated, (file, case["comment"])


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_no_record_is_refused_by_an_outbox_and_nothing_beside_it_is_kept(
    name: str, tmp_path: Path
) -> None:
    require(name)
    with Driver(name) as driver:
        assert driver.open_outbox(tmp_path / "data") == 0
        for bent in NO_RECORDS:
            said = driver.try_append([bent, SIGNED])
            assert said == {"error": {"kind": "contract", "code": None}}, bent
        assert driver.pending() == {}
        driver.close_outbox()
