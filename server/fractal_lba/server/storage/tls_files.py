"""Certificate, key and client CA, watched: sound new ones take over, broken ones change nothing."""

import asyncio
import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.ports import Meter
from fractal_lba.server.storage.fingerprint import fingerprint

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPaths:
    """Where the files are, PEM all of them.

    ``client_ca`` is ``None`` where no client certificate is asked for; ``is_client_required`` where
    a connection without one is refused.
    """

    certificate: Path
    key: Path
    client_ca: Path | None
    is_client_required: bool


def load_context(paths: TlsPaths) -> ssl.SSLContext:
    """Return a server's context: TLS 1.2 or newer, no compression, no renegotiation, no tickets.

    Raises:
        ContractError: A file cannot be used; the message names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would bring a client back that a newer CA file refuses.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        # Never a question at the terminal: a key with a password cannot be reloaded by itself.
        context.load_cert_chain(paths.certificate, paths.key, password=_no_password)
    except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
        raise ContractError(
            f"tls_certificate, tls_key: expected a PEM certificate and its key, got"
            f" {_why(error)} in {paths.certificate} or {paths.key}"
        ) from error
    if paths.client_ca is not None:
        try:
            context.load_verify_locations(cafile=paths.client_ca)
        except (OSError, ValueError) as error:
            raise ContractError(
                f"tls_client_ca: expected PEM certificates, got {_why(error)} in {paths.client_ca}"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED if paths.is_client_required else ssl.CERT_OPTIONAL
    return context


class TlsFiles:
    """The context of this moment.

    Args:
        paths: Loaded at once; broken ones raise here, when nothing is served yet.
        meter: Counts the files that were refused.

    Raises:
        ContractError: A file cannot be used.
    """

    def __init__(self, paths: TlsPaths, *, meter: Meter) -> None:
        self._paths = paths
        self._meter = meter
        self._seen = self._fingerprint()
        self._context = load_context(paths)

    def current(self) -> ssl.SSLContext:
        """Return the last sound context; a connection keeps the one it began with."""
        return self._context

    def reload(self) -> bool:
        """Load the files again; tell whether they took over."""
        self._seen = self._fingerprint()
        try:
            self._context = load_context(self._paths)
        except ContractError as error:
            self._meter.tls_refused()
            _log.error("TLS files refused, the old ones stay", extra={"error": str(error)})
            return False
        _log.info("TLS files loaded")
        return True

    async def watch(self, asked: asyncio.Event, *, interval_s: float) -> None:
        """Reload whenever a file changed or ``asked`` is set, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await asked.wait()
            if asked.is_set() or await asyncio.to_thread(self._fingerprint) != self._seen:
                asked.clear()
                await asyncio.to_thread(self.reload)

    def _fingerprint(self) -> tuple[tuple[int, int, int, int] | None, ...]:
        paths = (self._paths.certificate, self._paths.key, self._paths.client_ca)
        return tuple(fingerprint(path) for path in paths if path is not None)


def _no_password() -> str:
    raise ValueError("a key with a password")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
