"""The Python SDK's driver (`sdk/driver.md`): ``python -m tests.support.sdk_python_driver``."""

import asyncio
import base64
import random
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
from golden_vectors.runner import SUITES
from golden_vectors.runner import answer as answer_case

from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import SystemClock, ThreadLanes
from fractal_lba.agent.verdict import is_about
from fractal_lba.client import (
    Answer,
    BatchAnswer,
    Client,
    RetryPolicy,
    SchemeError,
    UntrustedError,
)
from fractal_lba.protocol import (
    Alg,
    ContractError,
    CorruptionError,
    Delivery,
    DurabilityError,
    Key,
    LockedError,
    Refusal,
    UnavailableError,
    ed25519_public,
    format_timestamp,
    parse_record,
    pcs_id,
    sent_bytes,
    sign_record,
    stored_bytes,
)
from fractal_lba.protocol.errors import FencedError, FullError
from fractal_lba.wal import RealDisk

Request = Mapping[str, Any]
Said = dict[str, Any]

FILES: Final = sorted(f"{name}.json" for name, suite in SUITES.items() if suite.answer)
# What is tested is what happens, and not for how long it is waited.
POLICY: Final = RetryPolicy(wait_first_s=0.02, wait_max_s=0.1)

_KINDS: Final[Mapping[type[DurabilityError], str]] = {
    FullError: "full",
    FencedError: "fenced",
    CorruptionError: "damaged",
}


class _GaveUpError(Exception):
    """The retries are used up; ``code`` is that of the last answer."""

    def __init__(self, code: str | None) -> None:
        super().__init__(code)
        self.code = code


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def answer(given: Request) -> Said:
    """Answer a case of a file of golden vectors."""
    result, expected = answer_case(given["file"].removesuffix(".json"), given["input"])
    return {"result": result, "expected": expected}


def sign(given: Request) -> Said:
    """Sign a record."""
    secret = base64.b64decode(given["secret"])
    is_hmac = given["alg"] == "hmac"
    key = Key(
        kid=given["kid"],
        tenant="any",
        alg=Alg.HMAC_SHA256 if is_hmac else Alg.ED25519,
        public=None if is_hmac else ed25519_public(secret),
        secret=secret,
        not_before_ms=None,
        not_after_ms=None,
        legacy=False,
    )
    members = given["record"]
    name = pcs_id(members["merkle_root"], int(members["epoch"]), members["shard_id"])
    try:
        record = sign_record({**members, "pcs_id": name}, key)
    except Refusal as refusal:
        told = {"code": refusal.code, "reason": refusal.reason, "member": refusal.member}
        return {"refused": told}
    return {"body": _text(stored_bytes(record))}


class Talk:
    """What the client's and the outbox's requests share: an open client, an open outbox."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._client: Client | None = None
        self._outbox: Outbox | None = None
        self._lanes: ThreadLanes | None = None
        self._retries = 0
        self._deadline_s = 0.0
        self._rng = random.Random()  # noqa: S311 - jitter

    def __call__(self, given: Request) -> Said:
        """Answer a request of the client or the outbox."""
        name = given["op"].replace(".", "_")
        work: Callable[[Request], Awaitable[Said]] | None = getattr(self, name, None)
        if work is None:
            return {"unknown": given["op"]}
        try:
            return self._runner.run(work(given))  # type: ignore[arg-type] # coroutines all
        except ContractError:
            return {"error": {"kind": "contract", "code": None}}
        except DurabilityError as error:
            return {"error": {"kind": _KINDS.get(type(error), "disk"), "code": None}}

    async def client_open(self, given: Request) -> Said:
        await self.end_client()
        client = Client(given["url"], token=given["token"])
        self._client = await client.__aenter__()
        self._retries, self._deadline_s = given["retries"], given["deadline_s"]
        return {"ok": True}

    async def client_submit(self, given: Request) -> Said:
        body = base64.b64decode(given["body"])
        return await self._called(lambda: self._open.submit(body))

    async def client_get(self, given: Request) -> Said:
        return await self._called(lambda: self._open.get(given["pcs_id"]))

    async def client_list(self, given: Request) -> Said:
        return await self._called(lambda: self._open.listing(given["query"]))

    async def client_batch(self, given: Request) -> Said:
        if given["encoding"] == "zstd":
            return {"unknown": "encoding zstd"}
        bodies = [base64.b64decode(body) for body in given["bodies"]]
        self._open._is_compressing = given["encoding"] == "gzip"
        found: list[BatchAnswer] = []

        async def attempt() -> Answer:
            got = await self._open.batch(bodies)
            found.append(got)
            return Answer(status=200, body=b"") if got.refusal is None else got.refusal

        said = await self._called(attempt)
        if "error" in said or found[-1].refusal is not None:
            return said if "error" in said else {"refusal": said}
        return {"answers": [_said(line, len(found)) for line in found[-1].lines]}

    async def outbox_open(self, given: Request) -> Said:
        self._lanes = ThreadLanes()
        size = given.get("segment_bytes_max")
        bounds = OutboxBounds() if size is None else OutboxBounds(segment_bytes_max=size)
        try:
            self._outbox = await Outbox.open(
                RealDisk(),
                Path(given["folder"]),
                clock=SystemClock(),
                lanes=self._lanes,
                bounds=bounds,
            )
        except (LockedError, CorruptionError, ContractError, DurabilityError) as error:
            self._lanes.close()
            kinds = {LockedError: "locked", CorruptionError: "damaged", ContractError: "newer"}
            return {"error": {"kind": kinds.get(type(error), "disk")}}
        return {"pending": len(self._outbox.contents.pending)}

    async def outbox_append(self, given: Request) -> Said:
        seqs = []
        for body in given["bodies"]:
            record = parse_record(base64.b64decode(body))
            meta = WindowMeta(
                source=given["source"],
                shard_id=record.shard_id,
                next_epoch=record.epoch + 1,
                position=None,
            )
            seqs.append(await self._kept.append(meta, record))
        return {"seqs": seqs}

    async def outbox_pending(self, _given: Request) -> Said:
        windows = [
            {"seq": seq, "body": _text(stored_bytes(await self._kept.read(seq)))}
            for seq in sorted(self._kept.contents.pending)
        ]
        return {"windows": windows}

    async def outbox_damage(self, _given: Request) -> Said:
        contents = self._kept.contents
        return {"damage": contents.damage, "lost": contents.lost}

    async def outbox_acknowledge(self, given: Request) -> Said:
        await self._kept.acknowledge(
            given["seq"], status=given["status"], replayed=given["replayed"]
        )
        return {"ok": True}

    async def outbox_ship(self, _given: Request) -> Said:
        answers: list[Said] = []
        # What has no answer when the time is over still waits.
        try:
            async with asyncio.timeout(self._deadline_s):
                for seq in sorted(self._kept.contents.pending):
                    answers += [await self._ship_one(seq)]
        except TimeoutError:
            pass
        except (UntrustedError, SchemeError) as error:
            return _ended(error)
        return {"answers": answers}

    async def outbox_close(self, _given: Request) -> Said:
        closing, self._outbox = self._kept, None
        try:
            await closing.close()
        finally:
            if self._lanes is not None:
                self._lanes.close()
        return {"ok": True}

    async def end_client(self) -> None:
        """Close the client, where one is open."""
        if self._client is not None:
            await self._client.__aexit__(None, None, None)
            self._client = None

    @property
    def _open(self) -> Client:
        assert self._client is not None, "client.open comes first"
        return self._client

    @property
    def _kept(self) -> Outbox:
        assert self._outbox is not None, "outbox.open comes first"
        return self._outbox

    async def _ship_one(self, seq: int) -> Said:
        record = await self._kept.read(seq)

        async def attempt(number: int) -> Answer:
            now = format_timestamp(SystemClock().now_ns() // 1_000_000)
            delivery = Delivery(attempt=number, sent_at=now, outbox_seq=seq)
            got = await self._open.submit(sent_bytes(record, delivery))
            if not is_about(got, record.pcs_id):
                raise UnavailableError("outbox: expected an answer about the record, got another")
            return got

        got = await POLICY.until_final(
            attempt, rng=self._rng, sleep=asyncio.sleep, on_retry=lambda _: None
        )
        await self._kept.acknowledge(seq, status=got.status, replayed=got.replayed)
        return {"seq": seq, "status": got.status, "replayed": got.replayed, "code": got.code}

    async def _called(self, call: Callable[[], Awaitable[Answer]]) -> Said:
        """Call until the answer is final, the retries are used up or the time is over."""
        attempts = 0

        async def attempt(number: int) -> Answer:
            nonlocal attempts
            attempts = number
            return await call()

        def on_retry(why: Answer | UnavailableError) -> None:
            if attempts > self._retries:
                raise _GaveUpError(why.code if isinstance(why, Answer) else None)

        try:
            async with asyncio.timeout(self._deadline_s):
                got = await POLICY.until_final(
                    attempt, rng=self._rng, sleep=asyncio.sleep, on_retry=on_retry
                )
        except TimeoutError:
            return {"error": {"kind": "deadline", "code": None}}
        except (UntrustedError, SchemeError) as error:
            return {**_ended(error), "words": str(error), "attempts": attempts}
        except _GaveUpError as error:
            return {"error": {"kind": "unavailable", "code": error.code}}
        return _said(got, attempts)


def _ended(error: UntrustedError | SchemeError) -> Said:
    kind = "scheme" if isinstance(error, SchemeError) else "untrusted"
    return {"error": {"kind": kind, "code": None}}


def _said(got: Answer, attempts: int) -> Said:
    return {
        "status": got.status,
        "replayed": got.replayed,
        "code": got.code,
        "body": _text(got.body),
        "attempts": attempts,
    }


def main() -> int:
    """Answer every line of standard input."""
    with asyncio.Runner() as runner:
        talk = Talk(runner)
        ops = [
            name.replace("_", ".", 1)
            for name in vars(Talk)
            if name.startswith(("client_", "outbox_"))
        ]
        hello = {
            "sdk": "python",
            "version": version("fractal-lba"),
            "files": FILES,
            "ops": ["hello", "answer", "sign", *ops],
        }
        plain: dict[str, Callable[[Request], Said]] = {
            "hello": lambda _given: hello,
            "answer": answer,
            "sign": sign,
        }
        for line in sys.stdin.buffer:
            given = orjson.loads(line)
            try:
                said = plain.get(given["op"], talk)(given)
            except Exception:  # noqa: BLE001 - a crash is an answer, which no test takes
                said = {"crash": traceback.format_exc()}
            sys.stdout.buffer.write(orjson.dumps(said) + b"\n")
            sys.stdout.buffer.flush()
        runner.run(talk.end_client())
    return 0


if __name__ == "__main__":
    sys.exit(main())
