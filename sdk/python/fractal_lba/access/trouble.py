"""What went wrong between two ends, in words a person can act on."""

import os
import ssl
from collections.abc import Iterator
from typing import Final

_VERIFY: Final = {
    9: "the server's certificate is not valid yet: is this machine's clock right?",
    10: "the server's certificate has expired: its operator has to renew it",
    18: "the server's certificate is signed by itself: name it with --ca if it is the right one",
    19: "the server's certificate is signed by an authority this machine does not trust: name"
    " that authority's certificate with --ca",
    20: "the server's certificate is signed by an authority this machine does not trust: name"
    " that authority's certificate with --ca",
    21: "the server's certificate comes without its chain, or its authority is not trusted: name"
    " that authority's certificate with --ca",
    62: "the server's certificate is for another name: put a name it holds into the URL",
    64: "the server's certificate is for another address: put a name it holds into the URL",
}
"""By OpenSSL's number of a chain or a name that does not verify."""

_NO_TLS: Final = frozenset(
    {"HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"}
)
"""OpenSSL's reasons where the first bytes are no record of TLS; which one, its release decides."""

_ALERTS: Final = (
    (
        "CERTIFICATE_REQUIRED",
        "the server asks for a client certificate: give one with --cert and --key",
    ),
    (
        "CERTIFICATE_EXPIRED",
        "the server refuses this client's certificate, which has expired: renew it",
    ),
    ("CERTIFICATE_REVOKED", "the server refuses this client's certificate, which is revoked"),
    (
        "UNKNOWN_CA",
        "the server does not trust the authority of this client's certificate (tls_client_ca)",
    ),
    ("_CERTIFICATE", "the server refuses this client's certificate: is --cert the right one?"),
    ("CERTIFICATE_UNKNOWN", "the server refuses this client's certificate: is --cert right?"),
    (
        "HANDSHAKE_FAILURE",
        "the server broke the handshake off: it may ask for a client certificate (--cert, --key)",
    ),
    ("PROTOCOL_VERSION", "the server and this client have no version of TLS in common"),
    *(
        (reason, "the server speaks no TLS there: is it http:// instead of https://?")
        for reason in sorted(_NO_TLS)
    ),
)
"""By a part of OpenSSL's reason, the first that fits."""

_REFUSALS: Final = frozenset(
    {
        "ACCESS_DENIED",
        "BAD_CERTIFICATE",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_REQUIRED",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_UNKNOWN",
        "NO_CERTIFICATE",
        "UNKNOWN_CA",
        "UNSUPPORTED_CERTIFICATE",
    }
)
"""The alerts of a server that wants a certificate of the client, or another one."""

_HUNG_UP: Final = (
    "the end of the connection; if that is so each time, the server asks for a client certificate"
    " that it trusts: give one with --cert and --key"
)


def trouble_of(error: BaseException, *, is_hung_up: bool = False) -> str | None:
    """Return what to do about an error that TLS is behind, ``None`` where it is not.

    ``is_hung_up`` says that a connection with TLS was closed before an answer. A server that does
    not like a client's certificate may do that without an alert, since in TLS 1.3 the client
    believes itself connected by then.

    What the other side sent is never quoted.
    """
    for each in _behind(error):
        # What aiohttp derives from these classes says nothing of its own: what it wraps does.
        if isinstance(each, ssl.SSLCertVerificationError) and hasattr(each, "verify_code"):
            return _VERIFY.get(
                each.verify_code, f"the server's certificate does not verify: {each.verify_message}"
            )
        if isinstance(each, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return _HUNG_UP
        if reason := _reason(each):
            for part, sentence in _ALERTS:
                if part in reason:
                    return sentence
            return f"TLS failed: {reason}"
    return _HUNG_UP if is_hung_up else None


def is_untrusted(error: BaseException) -> bool:
    """Return whether certificates are why: the server's does not verify, or it refuses ours."""
    for each in _behind(error):
        if isinstance(each, ssl.SSLCertVerificationError) and hasattr(each, "verify_code"):
            return True
        if reason := _reason(each):
            return "_ALERT_" in reason and reason.partition("_ALERT_")[2] in _REFUSALS
    return False


def is_no_tls(error: BaseException) -> bool:
    """Return whether the other side answered a handshake with something that is no TLS."""
    return any(_reason(each) in _NO_TLS for each in _behind(error))


def is_alert(error: BaseException) -> bool:
    """Return whether the other side ended a handshake in words of TLS."""
    return any("_ALERT_" in _reason(each) for each in _behind(error))


def words_of(error: BaseException, *, is_hung_up: bool, is_tls: bool) -> str:
    """Return what came instead of an answer, to stand behind "got".

    ``is_hung_up`` says that the other side closed the connection, ``is_tls`` that it had TLS. A
    library's own text may quote what the other side sent, so only the operating system's words and
    the names of classes are used.
    """
    if sentence := trouble_of(error, is_hung_up=is_hung_up and is_tls):
        return sentence
    if is_hung_up:
        return "the end of the connection"
    for each in _behind(error):
        if isinstance(each, TimeoutError):
            return "no answer in time"
        if isinstance(each, OSError) and each.errno is not None and each.strerror:
            # Below zero is name resolution, which has its own numbers.
            return os.strerror(each.errno) if each.errno > 0 else str(each.strerror)
    return type(error).__name__


def _reason(error: BaseException) -> str:
    """Return OpenSSL's word for what went wrong, empty where there is none."""
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    return reason if isinstance(reason, str) else ""


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        # Libraries keep what they wrap among the arguments, too.
        waiting += [inner for inner in each.args if isinstance(inner, BaseException)]
