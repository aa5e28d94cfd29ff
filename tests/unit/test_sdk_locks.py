"""What the SDKs' packages depend on and which version they are: pinned, few, and in step."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
NPM = SDK / "typescript"
CARGO = SDK / "rust"
GO = SDK / "go"
EXACT_NPM = re.compile(r"\d+\.\d+\.\d+")
EXACT_CARGO = re.compile(r"=\d+\.\d+\.\d+")
CRATE_LINE = re.compile(r"[a-zA-Z0-9_-]+ \d+\.\d+\.\d+\S* [0-9a-f]{64}")
GO_DEPENDENCIES_MAX = 2
NPM_DEPENDENCIES = {"@noble/curves", "@noble/hashes"}


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    return found


def cargo_manifests() -> list[Path]:
    folders = [path for path in (CARGO, SDK / "wasm", SDK / "python") if path.is_dir()]
    return sorted(
        path
        for folder in folders
        for path in (*folder.glob("Cargo.toml"), *folder.glob("*/Cargo.toml"))
    )


def test_npm_packages_are_those_that_are_allowed_and_exact() -> None:
    found = manifest(NPM)
    assert found["version"] == VERSION
    assert set(found["dependencies"]) == NPM_DEPENDENCIES
    for name, version in {**found["dependencies"], **found["devDependencies"]}.items():
        assert EXACT_NPM.fullmatch(version), name


def test_the_npm_lock_holds_hashes_and_no_address() -> None:
    text = (NPM / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    assert packages[""]["version"] == VERSION
    assert len(packages) > len(NPM_DEPENDENCIES)
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


@pytest.mark.parametrize("path", cargo_manifests(), ids=lambda path: path.parent.name)
def test_crates_are_exact_and_in_step(path: Path) -> None:
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    version = found.get("workspace", {}).get("package", found.get("package", {})).get("version")
    assert version in (VERSION, None, {"workspace": True})
    tables = [
        found.get("workspace", {}).get("dependencies", {}),
        *(found.get(kind, {}) for kind in ("dependencies", "dev-dependencies")),
        *(table.get("dependencies", {}) for table in found.get("target", {}).values()),
    ]
    for table in tables:
        for name, how in table.items():
            wanted = how if isinstance(how, str) else how.get("version")
            is_elsewhere = isinstance(how, dict) and (how.get("workspace") or "path" in how)
            assert is_elsewhere or EXACT_CARGO.fullmatch(str(wanted)), f"{path}: {name}"


def test_the_crates_lock_holds_checksums_and_no_address() -> None:
    lines = (CARGO / "crates.lock").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    assert entries
    for line in entries:
        assert CRATE_LINE.fullmatch(line), line


def test_the_go_module_has_few_dependencies_and_each_has_its_sum() -> None:
    text = (GO / "go.mod").read_text(encoding="utf-8")
    sums = (GO / "go.sum").read_text(encoding="utf-8") if (GO / "go.sum").exists() else ""
    wanted = re.findall(r"^(?:require )?\t?(\S+) (v\S+)( // indirect)?$", text, re.MULTILINE)
    imported = {
        name
        for path in GO.rglob("*.go")
        for name, *_ in wanted
        if f'"{name}' in path.read_text(encoding="utf-8")
    }
    assert len(imported) <= GO_DEPENDENCIES_MAX, imported
    for name, version, _ in wanted:
        assert f"{name} {version}/go.mod h1:" in sums, name
    assert "replace " not in text
