"""The HTTP client: records to a server, answers back, with a policy for trying again.

Public surface: ``Client`` speaks HTTP, ``Answer`` is what came back to a record and ``BatchAnswer``
to many (``split_batch`` makes pieces that a batch takes), ``RetryPolicy`` repeats until an answer
is final, or a server is not to be trusted (``UntrustedError``) or speaks another scheme than its
URL's (``SchemeError``), ``client_context`` says whom to trust and who to be. Nothing here logs, and
no error holds a body, a record or a token.
"""

from fractal_lba.access import client_context
from fractal_lba.client.answer import Answer, is_final, parse_retry_after
from fractal_lba.client.batch import BatchAnswer, split_batch
from fractal_lba.client.http import Client
from fractal_lba.client.retry import RetryPolicy
from fractal_lba.client.scheme import SchemeError
from fractal_lba.client.trust import UntrustedError
from fractal_lba.protocol import UnavailableError

__all__ = [
    "Answer",
    "BatchAnswer",
    "Client",
    "RetryPolicy",
    "SchemeError",
    "UnavailableError",
    "UntrustedError",
    "client_context",
    "is_final",
    "parse_retry_after",
    "split_batch",
]
