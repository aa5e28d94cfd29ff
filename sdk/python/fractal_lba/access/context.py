"""TLS of a client: which servers it trusts, and the certificate that names it to them."""

import ssl
from contextlib import suppress
from pathlib import Path

from fractal_lba.protocol import ContractError

_FLIGHTS_MAX = 4
"""Rounds of a handshake between two ends; TLS has three at the most."""

_PEM_BYTES_MAX = 1024 * 1024
"""A certificate with a long chain has some 10 kB."""

_VALIDITY = {9: "is not valid yet (or this machine's clock is wrong)", 10: "has expired: renew it"}
"""By OpenSSL's numbers."""


def client_context(
    *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Return a context that checks the server's name and chain, TLS 1.2 or newer.

    Args:
        ca: PEM certificates to trust instead of the system's.
        certificate: PEM certificate of this client, with its chain.
        key: Its PEM key, without a password; not needed where ``certificate`` holds it.

    Raises:
        ContractError: A file cannot be used, there is a key and no certificate, or the
            certificate is not valid now.
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
            raise ContractError(_unusable(certificate, key, error)) from error
        _check_valid_now(certificate, key)
    return context


def _check_valid_now(certificate: Path, key: Path | None) -> None:
    # Asked here, because a server may say no more than a closed connection. OpenSSL is asked as a
    # server asks it: two ends in memory shake hands, and one verifies the other's certificate.
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    verifying = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    verifying.load_cert_chain(certificate, key)
    verifying.verify_mode = ssl.CERT_REQUIRED
    verifying.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    verifying.load_verify_locations(cafile=certificate)
    showing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    showing.check_hostname = False
    showing.verify_mode = ssl.CERT_NONE
    showing.load_cert_chain(certificate, key)
    client = showing.wrap_bio(to_client, to_server)
    server = verifying.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_FLIGHTS_MAX):
        for end in (client, server):
            with suppress(ssl.SSLWantReadError):
                try:
                    end.do_handshake()
                except ssl.SSLCertVerificationError as error:
                    if said := _VALIDITY.get(error.verify_code):
                        raise ContractError(
                            f"{certificate}: expected a certificate that is valid now, got one"
                            f" that {said}"
                        ) from error
                    return  # what else may be wrong with it is for the server to say


def _unusable(certificate: Path, key: Path | None, error: OSError | ValueError) -> str:
    named = f"{certificate}" if key is None else f"{certificate} with the key {key}"
    expected = f"{named}: expected a PEM certificate and its private key, got"
    if key is None and _is_certificate_alone(certificate):
        return f"{expected} no private key: name its file with --key"
    return f"{expected} {_why(error)}"


def _is_certificate_alone(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            text = file.read(_PEM_BYTES_MAX)
    except OSError:
        return False
    return b"-----BEGIN CERTIFICATE-----" in text and b"PRIVATE KEY-----" not in text


def _no_password() -> str:
    raise ValueError("a key with a password")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
