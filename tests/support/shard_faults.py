"""A disk that fails one shard of a server, and no other."""

from pathlib import Path
from typing import Any

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.wal import Stream


def fail_while(flag: Path, shard: str, *, writes: bool = False) -> None:
    """Make every append to a shard's ledger, and every mending, fail while a file is there.

    Args:
        flag: The file.
        shard: Its name.
        writes: Whether what failed is on disk all the same.
    """
    append, reopen = Stream.append, Stream.reopen

    def is_hit(stream: Stream) -> bool:
        return stream.name.startswith(f"{shard}/") and flag.exists()

    def failing_append(stream: Stream, *given: Any) -> Any:  # noqa: ANN401 - as the stream has it
        if not is_hit(stream):
            return append(stream, *given)
        if writes:
            append(stream, *given)
        raise DurabilityError(f"stream {stream.name}: expected a sync, got none")

    def failing_reopen(stream: Stream) -> Any:  # noqa: ANN401 - as the stream has it
        if is_hit(stream):
            raise DurabilityError(f"stream {stream.name}: expected a disk, got none")
        return reopen(stream)

    Stream.append = failing_append  # type: ignore[method-assign,assignment]
    Stream.reopen = failing_reopen  # type: ignore[method-assign,assignment]
