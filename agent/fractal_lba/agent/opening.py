"""Opening an outbox: lock, recover, read, and pass over every number that may have been seen.

A window's number is given once. Two things could hide that one was used: a batch that was damaged
after its sync and before anything marked it, which looks like a torn one; and an outbox that was
removed while the dead letters stayed. What no outbox can have given is not believed.
"""

from pathlib import Path

from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.contents import Contents
from fractal_lba.agent.deadletters import FILE as DEAD_LETTERS
from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.agent.frames import SkippedMeta, bare_frame
from fractal_lba.protocol import LockedError
from fractal_lba.wal import Disk, Stream
from fractal_lba.wal.framing import FRAME_BYTES

FOLDER = "outbox"
STREAM = "outbox"

# A record of 64 KiB and a meta block of as many, and some.
OUTBOX_FRAME_BYTES_MAX = 256 << 10

# How far the dead letters may be ahead of the outbox, as where it was removed and they stayed: a
# thousand frames a second for five centuries. A number beyond was never given, and passing over it
# could leave none to give.
AHEAD_MAX = 1 << 44


def open_log(
    disk: Disk, data: Path, *, now_ns: int, bounds: OutboxBounds | None = None
) -> tuple[Stream, Contents]:
    """Open, recover and read the outbox of a data folder; it blocks.

    Raises:
        LockedError: An agent uses it; nothing was changed.
        DurabilityError: The disk refused; the folder is as a crash would leave it.
        ContractError: A newer program wrote it; nothing was added.
    """
    bounds = bounds or OutboxBounds()
    try:
        stream = Stream.open(
            disk,
            data / FOLDER,
            STREAM,
            segment_bytes_max=bounds.segment_bytes_max,
            frame_bytes_max=OUTBOX_FRAME_BYTES_MAX,
            segment_age_max_s=bounds.segment_age_s,
            reserve_bytes=bounds.reserve_bytes,
        )
    except LockedError as error:
        raise LockedError(f"data folder {data}: {error}") from error
    try:
        contents = Contents.read(stream.scan(), next_seq=stream.next_seq)
        bound = contents.next_seq + AHEAD_MAX
        letter_seq = 0
        for letter in read_dead_letters(disk, data):
            if letter and letter.outbox_seq > bound:
                contents.damage.append(
                    f"{DEAD_LETTERS}: expected numbers up to {bound}, got {letter.outbox_seq}"
                )
            elif letter:
                letter_seq = max(letter_seq, letter.outbox_seq)
        were_given = letter_seq >= stream.next_seq
        # A batch that was damaged after its sync looks like a torn one, and its windows may have
        # been sent: each had as many bytes as a frame has at least.
        torn_seq = stream.next_seq - 1 + stream.recovery.torn_bytes // FRAME_BYTES
        if (seen := max(torn_seq, letter_seq)) >= contents.next_seq:
            # This frame first: numbers that are missing without it would be a loss.
            stream.append([bare_frame(SkippedMeta(to=seen), received_ns=now_ns)])
            contents.pass_over(seen)
        stream.skip_to(contents.next_seq, were_given=were_given)
    except BaseException:
        stream.close()
        raise
    return stream, contents
