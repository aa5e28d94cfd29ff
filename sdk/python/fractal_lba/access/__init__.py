"""How a program reaches a server: whom it trusts, who it is, and what to do where that fails.

Public surface: ``client_context`` makes the TLS of a caller, ``Access`` and ``access_of`` what a
command's options say, ``OPTIONS`` those options, ``trouble_of`` a sentence for what went wrong with
TLS, ``words_of`` one for whatever came instead of an answer.
Standard library alone, so that every command and the SDK share it.
"""

from fractal_lba.access.context import client_context
from fractal_lba.access.options import OPTIONS, Access, access_of
from fractal_lba.access.trouble import is_alert, is_no_tls, is_untrusted, trouble_of, words_of

__all__ = [
    "OPTIONS",
    "Access",
    "access_of",
    "client_context",
    "is_alert",
    "is_no_tls",
    "is_untrusted",
    "trouble_of",
    "words_of",
]
