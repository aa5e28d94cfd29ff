"""Who calls: a bearer token, looked up before the body is read."""

from aiohttp import web

from fractal_lba.protocol.keyring import Keyring, Scope, Token
from fractal_lba.server.core.answer import Answer, ServerCode, problem

_SCHEME = "bearer"


def identify(request: web.Request, keyring: Keyring) -> Token | Answer | None:
    """Return the token a request carries, ``None`` without one, the problem of a wrong one."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, bearer = header.partition(" ")
    token = keyring.token(bearer.strip()) if scheme.lower() == _SCHEME else None
    if token is None:
        return problem(
            ServerCode.UNAUTHENTICATED, "Authorization: expected a known bearer token, got another"
        )
    return token


def allow(token: Token, scope: Scope) -> Answer | None:
    """Return the problem of a token that lacks a scope."""
    if scope in token.scopes:
        return None
    return problem(
        ServerCode.FORBIDDEN,
        f"Authorization: expected a token with the scope {scope}, got one without",
    )
