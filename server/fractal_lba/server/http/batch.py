"""``POST /v1/pcs/batch``: records in lines, an answer for each in lines."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.inbox_frame import BATCH, Received
from fractal_lba.server.core.inflate import GZIP, ZSTD
from fractal_lba.server.core.ndjson import BATCH_BYTES_MAX, encode_line
from fractal_lba.server.http.admit import Admission
from fractal_lba.server.http.caller import Caller
from fractal_lba.server.http.identity import caller_address
from fractal_lba.server.http.limits import read_body
from fractal_lba.server.http.request_id import request_id_of
from fractal_lba.server.http.respond import response
from fractal_lba.server.http.settled_log import SettledLog
from fractal_lba.server.http.submit import closing, content_encoding, tenant_header
from fractal_lba.server.http.whole import Whole
from fractal_lba.server.pipeline.batch import Batches
from fractal_lba.server.pipeline.settled import Settled
from fractal_lba.server.ports import Meter

MEDIA_TYPE = "application/x-ndjson"
_ENCODINGS = {"": "", "identity": "", GZIP: GZIP, ZSTD: ZSTD}


@dataclass(slots=True, kw_only=True)
class Batch:
    """The call that takes many records at once."""

    admission: Admission
    batches: Batches
    keyring: Callable[[], Keyring]
    meter: Meter
    settled_log: SettledLog

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this module."""
        return [web.post("/v1/pcs/batch", self.batch)]

    async def batch(self, request: web.Request) -> web.Response:
        """Take a batch."""
        caller = await self.admission.let_in(
            request, self.keyring(), unsupported=_unsupported_media(request), is_batch=True
        )
        if isinstance(caller, web.Response):
            return caller
        with self.admission.one_more(request, caller, is_batch=True) as share:
            body = await read_body(
                request,
                bytes_max=BATCH_BYTES_MAX,
                timeout_s=self.admission.bounds.batch_timeout_s,
                share=share,
            )
            if isinstance(body, Answer):
                return closing(response(body))
            received = Received(
                route=BATCH,
                content_encoding=_encoding_of(request),
                identified_tenant=caller.tenant if caller else None,
                tenant_header=tenant_header(request),
            )
            answers = _Answers(request_id_of(request), self.settled_log, caller)
            started = time.perf_counter()
            settled = await self.batches.receive(
                body,
                received,
                answers.take,
                on_count=self.admission.lane.owe_lines if caller is None else None,
                whose=caller.tenant if caller else caller_address(request),
            )
            seconds = time.perf_counter() - started
        self.meter.submit_took(seconds)
        if settled.refusal is not None:
            refused = Settled(answer=settled.refusal, is_over=settled.is_over)
            self.settled_log.note(refused, seconds, caller)
            return response(settled.refusal)
        self.settled_log.note_batch(answers.outcomes, seconds, caller)
        return Whole(body=bytes(answers.lines), headers={"Content-Type": MEDIA_TYPE})


@dataclass(slots=True)
class _Answers:
    """The lines of one answer."""

    request_id: str
    log: SettledLog
    caller: Caller | None
    lines: bytearray = field(default_factory=bytearray)
    outcomes: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.perf_counter)

    def take(self, ends: Sequence[Settled]) -> None:
        """Add the next lines; note each where somebody is known to have signed the record.

        Not the others: a batch of ten thousand empty lines would fill the log.
        """
        self.lines += b"".join([encode_line(each.answer, self.request_id) for each in ends])
        self.outcomes.update([each.answer.code or str(each.answer.status) for each in ends])
        if not self.log.is_kept:
            return
        seconds = time.perf_counter() - self.started
        for settled in ends:
            if settled.tenant is not None:
                self.log.note(settled, seconds, self.caller)


def _encoding_of(request: web.Request) -> str:
    """Return the content encoding, empty for none; ``KeyError`` for one that is not read."""
    return _ENCODINGS[content_encoding(request)]


def _unsupported_media(request: web.Request) -> Answer | None:
    if request.content_type != MEDIA_TYPE:
        return problem(
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type: expected {MEDIA_TYPE}, got another",
        )
    try:
        _encoding_of(request)
    except KeyError:
        return problem(
            ServerCode.UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: expected gzip, zstd or none, got another",
        )
    return None
