"""One agent used by many threads: those that observe at the same time share a sync of the disk."""

import sys
from concurrent.futures import ThreadPoolExecutor

from fractal_lba.agent import SyncAgent


def main(data: str, url: str, keyring: str) -> None:
    """Observe eight answers of a model, as text, from four threads."""
    answers = [f"answer {number}: the capital is where it was.".encode() for number in range(8)]
    with SyncAgent(data=data, url=url, keyring=keyring, shard_id="answers") as agent:
        with ThreadPoolExecutor(4) as threads:
            observed = list(threads.map(agent.observe, answers))
        print("epochs", sorted(each.epoch for each in observed))
        print("pending", agent.flush(deadline_s=30.0).windows)


if __name__ == "__main__":
    if len(sys.argv) != 4:  # noqa: PLR2004 - the program and what main takes
        sys.exit(f"usage: {sys.argv[0]} FOLDER URL KEYRING")
    main(*sys.argv[1:])
