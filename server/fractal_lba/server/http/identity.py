"""Who calls: a bearer token, looked up before the body is read."""

from dataclasses import dataclass

from aiohttp import web

from fractal_lba.protocol.keyring import Keyring, Scope
from fractal_lba.server.core.answer import Answer, ServerCode, problem

_SCHEME = "bearer"
_NAME_DIGITS = 16
"""Of the hash that the keyring file holds: enough to find the token there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody the keyring knows: whose records they may touch, and what they may do.

    ``name`` tells callers of one tenant apart and gives no secret away.
    """

    name: str
    tenant: str
    scopes: frozenset[Scope]


def identify(request: web.Request, keyring: Keyring) -> Caller | Answer | None:
    """Return who sends a request, ``None`` where it says nothing, the problem of a wrong token."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, bearer = header.partition(" ")
    token = keyring.token(bearer.strip()) if scheme.lower() == _SCHEME else None
    if token is None:
        return problem(
            ServerCode.UNAUTHENTICATED, "Authorization: expected a known bearer token, got another"
        )
    return Caller(
        name=f"token:{token.sha256.hex()[:_NAME_DIGITS]}", tenant=token.tenant, scopes=token.scopes
    )


def identified(request: web.Request, keyring: Keyring, scope: Scope) -> Caller | Answer:
    """Return who sends a request that asks for a scope, or the problem of one who may not."""
    caller = identify(request, keyring)
    if caller is None:
        return problem(
            ServerCode.UNAUTHENTICATED, "Authorization: expected a bearer token, got none"
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
        f"Authorization: expected a token with the scope {scope}, got one without",
    )
