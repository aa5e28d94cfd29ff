"""``golden_vectors/``: the SDK and the oracle on every case, the schemas, and the generator."""

import base64
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from golden_vectors import generate, runner
from tests.oracle import vectors as oracle
from tests.oracle.signals import theil_sen
from tests.support.exchange_servers import serving
from tests.support.json_schema import faults
from tests.support.vectors import folder

LEAST = {
    "canonical": 80,
    "json_refusals": 60,
    "records_1_0": 120,
    "records_0_1": 300,
    "ids": 10,
    "digests": 20,
    "outcomes": 30,
    "signing_ed25519": 60,
    "signals_points": 50,
    "signals_bytes": 15,
    "signing_hmac": 20,
    "keyrings": 50,
    "signing_records": 40,
    "merkle_roots": 20,
    "merkle_inclusion": 60,
    "merkle_consistency": 30,
    "ring": 40,
    "http_exchanges": 150,
}
NAMES = sorted(LEAST)


def path_of(name: str) -> Path:
    return runner.FOLDER / f"{name}.json"


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path_of(name).read_text(encoding="utf-8"))
    return read


def failures(path: Path) -> list[str]:
    """Return the runner's, with servers that have seen nothing."""
    with serving() as serve:
        return runner.failures(path, serve)


def rewritten(name: str, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Return a copy of a file with something changed."""
    changed = document(name)
    change(changed)
    copy = folder / f"{name}.json"
    copy.write_text(json.dumps(changed), encoding="utf-8")
    return copy


def shorten(read: dict[str, Any]) -> None:
    """Leave the first case of each flag, and the first that expects anything."""
    seen: set[str] = set()
    kept: list[dict[str, Any]] = []
    for case in read["tests"]:
        is_first = not any(each["expected"] for each in kept) and case["expected"]
        if is_first or not seen.issuperset(case["flags"]):
            seen.update(case["flags"])
            kept.append(case)
    for place, case in enumerate(kept, start=1):
        case["tcId"] = place
    read.update(tests=kept, numberOfTests=len(kept))


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_gives_every_expected_value(name: str, vectors_ran: Callable[[str], None]) -> None:
    assert failures(path_of(name)) == []
    results = Counter(case["result"] for case in document(name)["tests"])
    vectors_ran(f"golden {name}: {results.total()} cases, {dict(results)}")
    assert results.total() >= LEAST[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_gives_every_expected_value(name: str) -> None:
    assert oracle.differences(path_of(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_as_its_schema_says(name: str) -> None:
    read = document(name)
    schema = json.loads((runner.FOLDER / read["schema"]).read_text(encoding="utf-8"))
    assert faults(read, schema, schema) == []
    # A field too many is seen at every level.
    for place in (read, read["tests"][0], read["tests"][0]["input"], read["tests"][-1]["expected"]):
        place["another"] = 1
        assert faults(read, schema, schema) != []
        del place["another"]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_case_comes_from_outside_and_names_its_origin(name: str) -> None:
    read = document(name)
    (flag,) = read["tests"][0]["flags"]
    assert read["notes"][flag]["source"]


def test_no_case_of_a_file_is_there_twice() -> None:
    for name in NAMES:
        inputs = Counter(json.dumps(case["input"]) for case in document(name)["tests"])
        assert [given for given, times in inputs.items() if times > 1] == [], name


def counted(case: dict[str, Any]) -> dict[str, int]:
    """Return the cells of a case: those of its window, or those its record states."""
    if "N_j" in case["expected"]:
        counts: dict[str, int] = case["expected"]["N_j"]
        return counts
    stated: dict[str, int] = json.loads(base64.b64decode(case["input"]["body"]))["N_j"]
    return stated


def test_no_slope_is_near_a_tie_of_rounding() -> None:
    # log2 is good to an ulp only, so that another library may be off by a little more than 1e-15.
    cases = 0
    for name in ("signals_points", "signals_bytes", "outcomes"):
        for case in document(name)["tests"]:
            if case["result"] == "valid":
                slope = theil_sen({int(scale): n for scale, n in counted(case).items()})
                from_tie = abs(abs(slope) * 1e9 % 1 - 0.5) / 1e9
                assert from_tie >= 1e-12, (name, case["tcId"], slope)
                cases += 1
    assert cases > 100


def test_windows_of_every_kind_of_width_are_there() -> None:
    widths = [
        case["expected"]["d"]
        for case in document("signals_points")["tests"]
        if case["result"] == "valid"
    ]
    assert len(widths) >= 40
    assert {1, 2, 3, 4, 768} <= set(widths)


def test_the_golden_record_of_version_0_1_is_the_published_one() -> None:
    published = folder("legacy") / "pcs_tiny_case_1.json"
    given = document("records_0_1")["tests"][0]["input"]
    assert base64.b64decode(given["body"]) == published.read_bytes()


def test_every_file_is_known_and_has_a_schema() -> None:
    assert [path.stem for path in runner.files()] == NAMES
    assert sorted(runner.SUITES) == NAMES
    assert sorted(oracle.ANSWERS) == NAMES
    schemas = (runner.FOLDER / "schemas").iterdir()
    assert sorted(path.name for path in schemas) == [f"{name}.schema.json" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_value_is_seen_by_generator_oracle_and_sdk(name: str, tmp_path: Path) -> None:
    def change(read: dict[str, Any]) -> None:
        expected = next(case["expected"] for case in read["tests"] if case["expected"])
        first = next(iter(expected))
        expected[first] = "00" if expected[first] != "00" else "01"

    few = rewritten(name, tmp_path, shorten)
    assert failures(few) == []
    assert oracle.differences(few) == []

    def shorten_and_change(read: dict[str, Any]) -> None:
        shorten(read)
        change(read)

    copy = rewritten(name, tmp_path, shorten_and_change)
    assert len(failures(copy)) == 1
    assert len(oracle.differences(copy)) == 1
    text = path_of(name).read_text(encoding="utf-8")
    whole = rewritten(name, tmp_path, change)
    assert generate.differing(tmp_path, {whole.name: text}) == [whole.name]


def test_the_check_fails_where_one_byte_differs(tmp_path: Path) -> None:
    for path in runner.files():
        shutil.copy(path, tmp_path)
    assert generate.main(["--check", "--folder", str(tmp_path)]) == 0
    copy = tmp_path / "canonical.json"
    copy.write_bytes(copy.read_bytes().replace(b'"tcId": 7,', b'"tcId": 8,'))
    assert generate.main(["--check", "--folder", str(tmp_path)]) == 1
    assert len(runner.failures(copy)) == 1
    assert len(oracle.differences(copy)) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda read: read.update(generator="x"), "field generator"),
        (lambda read: read.update(schemaVersion=2), "schemaVersion 2"),
        (lambda read: read.update(schema="schemas/x.json"), "schema schemas/x.json"),
        (lambda read: read.update(numberOfTests=1), "not 1"),
        (lambda read: read["notes"].update(New={}), "flag New"),
        (lambda read: read["tests"][0]["flags"].append("New"), "flag New"),
        (lambda read: read["tests"][0].update(weight=1), "field weight"),
        (lambda read: read["tests"][0]["input"].update(depth=1), "input field depth"),
        (lambda read: read["tests"].pop(0), "tcId 2"),
    ],
)
def test_the_runner_fails_on_what_it_does_not_know(
    change: Callable[[dict[str, Any]], object], told: str, tmp_path: Path
) -> None:
    found = runner.failures(rewritten("canonical", tmp_path, change))
    assert any(told in line for line in found), found


def test_the_runner_fails_on_a_file_it_does_not_know(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    assert runner.failures(other) == ["other.json: a file this runner does not know"]
    assert oracle.differences(other) == ["other.json: unknown file"]


def said_of(folder: Path, out: str) -> bool:
    """Return whether a command named every file of a folder with its cases, and their sum."""
    *lines, last = out.splitlines()
    counts = {
        path.name: json.loads(path.read_text(encoding="utf-8"))["numberOfTests"]
        for path in runner.files(folder)
    }
    named = lines == [f"{name}: {count} cases" for name, count in counts.items()]
    return named and f"{sum(counts.values())} cases in {len(counts)} files" in last


def test_the_committed_files_are_what_the_generator_writes_and_it_says_which(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert generate.main(["--check"]) == 0
    assert said_of(runner.FOLDER, capsys.readouterr().out)


def test_the_oracle_says_what_it_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its answers for all files are a test each, above.
    for name in ("digests", "ids", "merkle_roots"):
        shutil.copy(path_of(name), tmp_path)
    monkeypatch.setattr(oracle, "FOLDER", tmp_path)
    assert oracle.main() == 0
    assert said_of(tmp_path, capsys.readouterr().out)
    rewritten("ids", tmp_path, lambda read: read["tests"][0].update(result="x"))
    assert oracle.main() == 1
