"""The error of a server that is not the one meant, or that does not take this client."""

from fractal_lba.protocol import UnavailableError


class UntrustedError(UnavailableError):
    """Certificates are why there is no answer; the next attempt would meet the same.

    The server has none that is trusted for the host in the URL and valid now, and was sent nothing;
    or it refuses this client's. ``RetryPolicy.until_final`` raises it at once. It is an
    ``UnavailableError`` still: a certificate is renewed some day, and who keeps the record, as an
    agent does, may send the same bytes then.
    """
