"""TLS of a client: which servers it trusts, and the certificate that names it to them."""

import ssl
from pathlib import Path

from fractal_lba.protocol import ContractError


def client_context(
    *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Return a context that checks the server's name and chain, TLS 1.2 or newer.

    Args:
        ca: PEM certificates to trust instead of the system's.
        certificate: PEM certificate of this client, with its chain.
        key: Its PEM key, without a password; not needed where ``certificate`` holds it.

    Raises:
        ContractError: A file cannot be used, or there is a key and no certificate.
    """
    if key is not None and certificate is None:
        raise ContractError("client key: expected a certificate beside it, got none")
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
        raise ContractError(f"{ca}: expected PEM certificates, got {_why(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            # Never a question at the terminal.
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            raise ContractError(
                f"{certificate}: expected a PEM certificate and its key, got {_why(error)}"
            ) from error
    return context


def _no_password() -> str:
    raise ValueError("a key with a password")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
