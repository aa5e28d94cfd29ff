"""Who calls: a bearer token, a client certificate or both, looked up before the body is read."""

import ssl

from aiohttp import web

from fractal_lba.protocol.errors import RefusalCode
from fractal_lba.protocol.keyring import Identity, Keyring, Scope
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.http.caller import NOBODY, Caller, Identified
from fractal_lba.server.http.protocol import Connection

_SCHEME = "bearer"
_NAME_DIGITS = 16
"""Of the hash that the keyring file holds: enough to find the token there."""


def identify(request: web.Request, keyring: Keyring) -> Caller | Answer | None:
    """Return who sends a request, ``None`` where it says nothing, or the problem of what it says.

    What it says must be known; a token and a certificate must be one tenant's, and may do together
    what either may.
    """
    header = request.headers.get("Authorization")
    connection = request.protocol if isinstance(request.protocol, Connection) else None
    before = NOBODY if connection is None else connection.identified
    # A connection has one certificate for as long as it lasts.
    if before.keyring is keyring and before.header == header:
        return before.caller
    certificate = _certificate(request)
    known: list[Identity] = []
    names: list[str] = []
    if certificate is not None:
        identity = keyring.certificate(certificate)
        if identity is None:
            return problem(
                ServerCode.UNAUTHENTICATED,
                "client certificate: expected one of the keyring, got another",
            )
        known.append(identity)
        names.append(f"certificate:{identity.sha256.hex()[:_NAME_DIGITS]}")
    if header is not None:
        scheme, _, bearer = header.partition(" ")
        token = keyring.token(bearer.strip()) if scheme.lower() == _SCHEME else None
        if token is None:
            return problem(
                ServerCode.UNAUTHENTICATED,
                "Authorization: expected a known bearer token, got another",
            )
        known.append(token)
        names.append(f"token:{token.sha256.hex()[:_NAME_DIGITS]}")
    if not known:
        return None
    if len({each.tenant for each in known}) > 1:
        return problem(
            RefusalCode.TENANT_MISMATCH,
            "Authorization: expected the tenant of the client certificate, got another",
        )
    caller = Caller(
        name=names[-1],
        tenant=known[0].tenant,
        scopes=frozenset[Scope]().union(*(each.scopes for each in known)),
    )
    if connection is not None:
        connection.place.is_known = True
        connection.identified = Identified(keyring, header, caller)
    return caller


def caller_address(request: web.Request) -> str:
    """Return the address that a request comes from, empty where that is not known."""
    connection = request.protocol
    return connection.address if isinstance(connection, Connection) else ""


def identified(request: web.Request, keyring: Keyring, scope: Scope) -> Caller | Answer:
    """Return who sends a request that asks for a scope, or the problem of one who may not."""
    caller = identify(request, keyring)
    if caller is None:
        return problem(
            ServerCode.UNAUTHENTICATED,
            "Authorization: expected a bearer token or a client certificate, got none",
        )
    if isinstance(caller, Answer):
        return caller
    return allow(caller, scope) or caller


def allow(caller: Caller, scope: Scope) -> Answer | None:
    """Return the problem of a caller that lacks a scope."""
    if scope in caller.scopes:
        return None
    return problem(
        ServerCode.FORBIDDEN,
        f"Authorization: expected a caller with the scope {scope}, got one without",
    )


def _certificate(request: web.Request) -> bytes | None:
    transport = request.transport
    secured = None if transport is None else transport.get_extra_info("ssl_object")
    return secured.getpeercert(binary_form=True) if isinstance(secured, ssl.SSLObject) else None
