"""The options of a command that speaks to a server, and what they say together."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fractal_lba.access.context import client_context
from fractal_lba.protocol import ContractError

OPTIONS: Final = {
    "--token-file": "Bearer token that names the caller to the server.",
    "--ca": "PEM certificates to trust instead of the system's.",
    "--cert": "PEM client certificate that names the caller to the server.",
    "--key": "PEM key of --cert, without a password; not needed where --cert holds it.",
}
"""Each takes a FILE; their names without dashes are the parameters of ``access_of``."""

_TOKEN_BYTES_MAX = 8_000
"""A longer one fits no header that a server reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who a caller is and whom it trusts; ``tls`` is ``None`` where no option says anything."""

    token: str | None
    tls: ssl.SSLContext | None
    has_certificate: bool = False

    @property
    def is_somebody(self) -> bool:
        """Whether a token or a certificate names the caller."""
        return self.token is not None or self.has_certificate

    def headers(self) -> dict[str, str]:
        """Return the header that names the caller, where there is a token."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def access_of(
    *,
    token_file: Path | None = None,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
) -> Access:
    """Return what the options say; each is a file that is read now.

    Raises:
        ContractError: A file cannot be used.
    """
    token = None if token_file is None else _token(token_file)
    if ca is cert is key is None:
        return Access(token=token, tls=None)
    tls = client_context(ca=ca, certificate=cert, key=key)
    return Access(token=token, tls=tls, has_certificate=cert is not None)


def _token(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            token = file.read(_TOKEN_BYTES_MAX + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "something else"
        raise ContractError(f"{path}: expected a file with a token, got {got}") from error
    if not token or len(token) > _TOKEN_BYTES_MAX or not token.isprintable() or " " in token:
        raise ContractError(
            f"{path}: expected one token of at most {_TOKEN_BYTES_MAX} visible characters,"
            " got something else"
        )
    return token
