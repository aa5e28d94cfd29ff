"""The SDKs' drivers (`sdk/driver.md`) as processes: asked line by line, or many lines at once."""

import base64
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import orjson
import pytest

ROOT: Final = Path(__file__).parents[2]
SDK: Final = ROOT / "sdk"
TOOLCHAINS: Final = (Path("/usr/local/go/bin"), Path.home() / ".cargo" / "bin")
"""Where the toolchains' own installers put them, behind what PATH finds."""

PATH: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), *map(str, TOOLCHAINS)))
TOOLS: Final = {
    "python": (),
    "go": ("go",),
    "typescript": ("node", "npm"),
    "rust": ("cargo",),
    "wasm": ("cargo", "node"),
}
"""What each SDK is built and tested with; the order is that of the tables."""

COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "python": (sys.executable, "-m", "tests.support.sdk_python_driver"),
    "go": (str(SDK / "go/build/driver"),),
    "typescript": ("node", str(SDK / "typescript/dist/driver/main.js")),
    "rust": (str(SDK / "rust/target/release/driver"),),
    "wasm": ("node", str(SDK / "wasm/driver.mjs")),
}
SDKS: Final = tuple(name for name in COMMANDS if (SDK / name).is_dir())
"""The SDKs of this checkout."""

CLIENTS: Final = tuple(name for name in SDKS if name != "wasm")
"""Those with a client and an outbox."""

OUTBOXES: Final = tuple(name for name in CLIENTS if name != "python")
"""Those whose outbox is not the agent's own."""

ANSWER_TIMEOUT_S: Final = 60.0
"""For one answer: far more than any takes, so that a driver that hangs is a failure with a name."""

MANY_TIMEOUT_S: Final = 600.0
"""For all answers of many lines."""


def encoded(body: bytes) -> str:
    """Return bytes as a request has them."""
    return base64.b64encode(body).decode()


class DriverError(AssertionError):
    """A driver ended, hung or answered what is no answer."""


def lacking(name: str) -> str | None:
    """Return why an SDK cannot be built here, None where it can."""
    missing = [tool for tool in TOOLS[name] if shutil.which(tool, path=PATH) is None]
    return f"sdk/{name}: {' and '.join(missing)} not installed" if missing else None


def require(*names: str) -> None:
    """Skip a test that needs SDKs whose toolchain is absent."""
    for name in names:
        if (reason := lacking(name)) is not None:
            pytest.skip(reason)


@contextmanager
def driving(name: str) -> Iterator["Driver"]:
    """Run the driver of an SDK; skip the test where its toolchain is absent."""
    require(name)
    with Driver(name) as driver:
        yield driver


def available() -> list[str]:
    """Return the SDKs of this checkout whose toolchain is present."""
    return [name for name in SDKS if lacking(name) is None]


class Driver:
    """A running driver.

    Args:
        name: Of the SDK.

    Raises:
        DriverError: It is not built.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        command = COMMANDS[name]
        if (built := Path(command[-1])).is_absolute() and not built.exists():
            raise DriverError(f"{name}: expected {built.relative_to(ROOT)}, got none: `make sdks`")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the driver
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PATH": PATH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.end()
        else:
            self.kill()

    def ask(self, op: str, **given: object) -> dict[str, Any]:
        """Return the answer to one request; none may be a crash."""
        (line,) = self.ask_all([orjson.dumps({"op": op, **given})], timeout_s=ANSWER_TIMEOUT_S)
        answer: dict[str, Any] = orjson.loads(line)
        if "crash" in answer:
            raise DriverError(f"{self.name}: {op}: crash: {answer['crash']}")
        return answer

    def open_client(  # noqa: PLR0913 - each named at the call
        self,
        url: str,
        *,
        token: str | None = None,
        retries: int = 2,
        deadline_s: float = 60.0,
        ca: str | None = None,
        identity: str | None = None,
    ) -> None:
        """Open a client, which must be possible; ``ca`` and ``identity`` are PEM texts."""
        policy = {"retries": retries, "deadline_s": deadline_s}
        pems = {"ca": ca, "identity": identity}
        given = {name: pem for name, pem in pems.items() if pem is not None}
        said = self.ask("client.open", url=url, token=token, **policy, **given)
        assert said == {"ok": True}, said

    def submit(self, body: bytes) -> dict[str, Any]:
        """Return what the open client says of one record."""
        return self.ask("client.submit", body=encoded(body))

    def open_outbox(self, folder: Path) -> int | str:
        """Return how many windows wait in an outbox, or why it could not be opened."""
        said = self.ask("outbox.open", folder=str(folder))
        found: int | str = said["error"]["kind"] if "error" in said else said["pending"]
        return found

    def try_append(self, bodies: Iterable[bytes], source: str = "x") -> dict[str, Any]:
        """Return what the open outbox says to records."""
        return self.ask("outbox.append", source=source, bodies=[encoded(body) for body in bodies])

    def append(self, *bodies: bytes, source: str = "x") -> list[int]:
        """Return the numbers of records that the open outbox must take."""
        said = self.try_append(bodies, source)
        assert "seqs" in said, said
        seqs: list[int] = said["seqs"]
        assert len(seqs) == len(bodies)
        return seqs

    def pending(self) -> dict[int, bytes]:
        """Return what waits in the open outbox, by number."""
        windows: list[dict[str, Any]] = self.ask("outbox.pending")["windows"]
        return {each["seq"]: base64.b64decode(each["body"]) for each in windows}

    def close_outbox(self) -> None:
        """Close the outbox, which must go well."""
        said = self.ask("outbox.close")
        assert said == {"ok": True}, said

    def ask_all(self, lines: Sequence[bytes], *, timeout_s: float = MANY_TIMEOUT_S) -> list[bytes]:
        """Return the line that answers each line; they are written while answers are read."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None

        def write() -> None:
            try:
                stdin.write(b"".join(line + b"\n" for line in lines))
                stdin.flush()
            except OSError:
                pass  # it ended: its answers stop as well, which is reported

        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            self.process.kill()

        timer = threading.Timer(timeout_s, give_up)
        writer = threading.Thread(target=write, daemon=True)
        timer.start()
        writer.start()
        try:
            answers = []
            for at in range(len(lines)):
                answer = stdout.readline()
                if not answer.endswith(b"\n"):
                    what = f"none within {timeout_s:g} s" if is_late.is_set() else "its end"
                    raise DriverError(
                        f"{self.name}: expected answer {at + 1} of {len(lines)}, got {what}; "
                        f"code {self.process.wait(ANSWER_TIMEOUT_S)}; stderr: {self.errors()}"
                    )
                answers.append(answer)
            return answers
        finally:
            timer.cancel()
            writer.join(ANSWER_TIMEOUT_S)

    def errors(self) -> str:
        """Return the end of what it wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read()[-4_000:].decode(errors="replace")

    def end(self) -> None:
        """Close its input; it must end with code 0, having said nothing."""
        try:
            out, _ = self.process.communicate(timeout=ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DriverError(f"{self.name}: expected its end with its input, got none") from None
        code, errors = self.process.returncode, self.errors()
        self._errors.close()
        if code or out:
            raise DriverError(f"{self.name}: expected code 0, got {code}; stderr: {errors}")

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        self.process.kill()
        self.process.communicate()
        self._errors.close()
