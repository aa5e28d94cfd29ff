"""The wheel as a user gets it: in a fresh environment, with the sources out of sight."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SDK_NEEDS = {"msgspec", "orjson", "pynacl", "cffi", "pycparser"}
PACKAGES = (
    "access",
    "agent",
    "cli",
    "client",
    "command",
    "keyfile",
    "native",
    "plot",
    "protocol",
    "server",
    "signals",
    "wal",
)
EXTRAS = {"fractal-lba": "cli", "fractal-agent": "agent", "fractal-server": "server"}
SECONDS_MAX = 180
TEXT = b"".join(b"line %d of a text that is not all the same\n" % n for n in range(200))[:4096]


LIST = """
import importlib.metadata, json
print(json.dumps({each.name: each.version for each in importlib.metadata.distributions()}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A virtual environment holding the wheel, and an empty folder to work in."""

    binaries: Path
    workdir: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of this environment, with nothing of the project in reach."""
        hidden = ("PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        done = subprocess.run(
            [str(self.binaries / command[0]), *command[1:]],
            cwd=self.workdir,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def pip_install(self, *what: str) -> None:
        # The pip of the project's environment works on this one: to make one here takes longer
        # than all that is installed.
        target = ("--python", str(self.binaries / "python"))
        command = [sys.executable, "-m", "pip", *target, "install", "--quiet", "--no-compile"]
        done = subprocess.run(
            [*command, *what],
            cwd=self.workdir,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS_MAX,
        )
        assert done.returncode == 0, f"{what}: {done.stdout}\n{done.stderr}"

    def distributions(self) -> dict[str, str]:
        listed: dict[str, str] = json.loads(self.run("python", "-c", LIST).stdout)
        return {re.sub(r"[-_.]+", "-", name.lower()): version for name, version in listed.items()}


def locked_versions() -> str:
    """Return the lock as constraints: versions and markers, without the hashes."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [line.removesuffix("\\").strip() for line in lock.splitlines() if "==" in line]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Without isolation: the build backend is the locked one, and nothing is downloaded.
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=SECONDS_MAX)
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkAlone:
    """What the environment was like when it held the SDK and no extra."""

    distributions: set[str]
    protocol_file: Path
    helps: dict[str, tuple[int, str, str]]
    """Of each program: the exit code of ``--help``, and what it printed."""
    imports: dict[str, str]


IMPORT_EACH = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(f"fractal_lba.{name}")
        found[name] = "imported"
    except ModuleNotFoundError as error:
        found[name] = f"missing {error.name}"
import fractal_lba.protocol
print(json.dumps({"file": fractal_lba.protocol.__file__, "imports": found}))
"""


@pytest.fixture(scope="module")
def environments(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SdkAlone, Installed]:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    workdir = folder / "elsewhere"
    workdir.mkdir()
    installed = Installed(binaries=folder / "venv" / "bin", workdir=workdir)
    assert installed.distributions() == {}
    constraints = folder / "constraints.txt"
    constraints.write_text(locked_versions(), encoding="utf-8")

    installed.pip_install("--constraint", str(constraints), str(wheel))
    seen = json.loads(installed.run("python", "-c", IMPORT_EACH, *PACKAGES).stdout)
    helps = {program: installed.run(program, "--help", check=False) for program in EXTRAS}
    sdk = SdkAlone(
        distributions=set(installed.distributions()) - {"fractal-lba"},
        protocol_file=Path(seen["file"]),
        imports=seen["imports"],
        helps={name: (each.returncode, each.stdout, each.stderr) for name, each in helps.items()},
    )
    installed.pip_install("--constraint", str(constraints), f"{wheel}[agent,cli,server]")
    return sdk, installed


@pytest.fixture(scope="module")
def sdk_alone(environments: tuple[SdkAlone, Installed]) -> SdkAlone:
    return environments[0]


@pytest.fixture(scope="module")
def installed(environments: tuple[SdkAlone, Installed]) -> Installed:
    return environments[1]


def test_the_wheel_is_one_namespace_without_an_init_and_ships_its_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "fractal_lba/__init__.py" not in names
    code = {name.split("/")[1] for name in names if name.startswith("fractal_lba/")}
    assert code == set(PACKAGES)
    for package in PACKAGES:
        assert f"fractal_lba/{package}/__init__.py" in names
        assert f"fractal_lba/{package}/py.typed" in names
    others = {name.split("/")[0] for name in names} - {"fractal_lba"}
    assert {name.rpartition(".")[2] for name in others} == {"dist-info"}


def test_the_sdk_alone_brings_no_more_than_its_three_dependencies(sdk_alone: SdkAlone) -> None:
    assert sdk_alone.distributions <= SDK_NEEDS, sdk_alone.distributions
    assert {"msgspec", "orjson", "pynacl"} <= sdk_alone.distributions


def test_native_code_that_was_built_is_in_a_wheel_of_this_platform(
    wheel: Path, installed: Installed
) -> None:
    built = ROOT / "sdk/python/fractal_lba/native/_core.abi3.so"
    names = zipfile.ZipFile(wheel).namelist()
    assert ("fractal_lba/native/_core.abi3.so" in names) == built.is_file()
    assert wheel.name.endswith("-none-any.whl") != built.is_file()
    asked = "import fractal_lba.native as found; print(found.NATIVE is not None)"
    assert installed.run("python", "-c", asked).stdout == f"{built.is_file()}\n"


def test_the_sdk_alone_imports_from_the_wheel(sdk_alone: SdkAlone, installed: Installed) -> None:
    assert sdk_alone.protocol_file.is_relative_to(installed.binaries.parent)
    assert sdk_alone.imports["protocol"] == "imported"
    assert sdk_alone.imports["keyfile"] == "imported"
    # What needs an extra says which module is missing; nothing else is wrong with it.
    foreign = {"aiohttp", "click", "crc32c", "lmdb", "matplotlib", "numpy", "rich", "tenacity"}
    foreign |= {"uvloop"}
    missing = {note.removeprefix("missing ") for note in sdk_alone.imports.values()} - {"imported"}
    assert missing <= foreign


def test_the_extras_install_the_locked_versions(installed: Installed) -> None:
    locked = dict(
        line.split(";")[0].strip().split("==")
        for line in locked_versions().splitlines()
        if not line.startswith("numpy")
    )
    versions = installed.distributions()
    for name in ("aiohttp", "click", "crc32c", "lmdb", "msgspec", "orjson", "pynacl", "uvloop"):
        assert versions[name] == locked[name]


@pytest.mark.parametrize("program", EXTRAS)
def test_a_program_of_the_sdk_alone_says_what_to_install(sdk_alone: SdkAlone, program: str) -> None:
    code, out, err = sdk_alone.helps[program]
    assert (code, out) == (2, "")
    assert err.startswith(f"{program}: ")
    assert err.endswith(f" is not installed; run: pip install 'fractal-lba[{EXTRAS[program]}]'\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("program", EXTRAS)
def test_each_program_explains_itself_and_its_exit_codes(
    installed: Installed, program: str
) -> None:
    shown = installed.run(program, "--help").stdout
    assert shown.startswith("Usage:")
    assert "xit" in shown
    assert "0.1.0" in installed.run(program, "--version").stdout


def test_a_record_is_made_signed_and_verified_by_the_installed_programs(
    installed: Installed,
) -> None:
    ring, text = installed.workdir / "ring.json", installed.workdir / "text.txt"
    text.write_bytes(TEXT)
    public = installed.workdir / "public.json"
    installed.run(
        *("fractal-lba", "keys", "generate", "--keyring", str(ring), "--tenant", "acme"),
        *("--kid", "acme-1", "--server-keyring", str(public)),
    )
    signals = json.loads(
        installed.run("fractal-lba", "signals", str(text), "--profile", "bytes/1").stdout
    )
    draft = {
        **signals,
        "schema": "fractal-lba-kakeya",
        "version": "1.0",
        "epoch": 0,
        "shard_id": "packaging",
        "created_at": "2026-11-21T00:00:00.000Z",
        "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
    }
    (installed.workdir / "draft.json").write_text(json.dumps(draft), encoding="utf-8")
    signed = installed.run(
        "fractal-lba", "sign", "--keyring", str(ring), "--kid", "acme-1", "draft.json"
    ).stdout
    record = installed.workdir / "record.json"
    record.write_text(signed, encoding="utf-8")
    verified = installed.run("fractal-lba", "verify", "--keyring", str(public), str(record))
    assert json.loads(verified.stdout)["tenant"] == "acme"
    # The check can fail: the same record with one member changed is not what was signed.
    record.write_text(signed.replace('"epoch":0', '"epoch":1'), encoding="utf-8")
    forged = installed.run(
        "fractal-lba", "verify", "--keyring", str(public), str(record), check=False
    )
    assert forged.returncode == 1


def test_a_text_goes_its_whole_way_from_the_installed_agent_to_the_installed_server(
    installed: Installed,
) -> None:
    text, folder = installed.workdir / "shipped.txt", installed.workdir / "server"
    text.write_bytes(TEXT)
    installed.run("fractal-server", "init", str(folder))
    config = str(folder / "server.toml")
    command = [str(installed.binaries / "fractal-server"), "run", "--config", config]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        cwd=installed.workdir,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            shipped = installed.run(
                *("fractal-agent", "run", str(text), "--profile", "bytes/1", "--window", "512"),
                *("--data", str(installed.workdir / "outbox"), "--url", url, "--json"),
                *("--keyring", str(folder / "agent-keyring.json")),
            )
        finally:
            server.terminate()
    assert server.returncode == 0
    report = json.loads(shipped.stdout)
    assert report["windows"] == report["acknowledged"] == len(TEXT) // 512
    found = json.loads(installed.run("fractal-server", "fsck", "--config", config).stdout)
    assert found["records"] == report["windows"]
