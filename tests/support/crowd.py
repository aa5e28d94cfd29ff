"""A process that opens connections and holds them: ``python -m tests.support.crowd --help``.

Says how many it opened, waits for the end of its standard input, and hangs up.
"""

import argparse
import json
import resource
import socket
import sys

_OF_AN_ADDRESS = 1_000
_OTHER_FILES = 64


def main() -> None:
    """Open, hold, hang up."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.crowd", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first", type=int, required=True, help="N of the first 127.0.1.N")
    parser.add_argument("--sent", type=bytes.fromhex, default=b"", help="hex, on each connection")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(given.count + _OTHER_FILES, hard), hard))
    held = []
    for number in range(given.count):
        connection = socket.socket()
        connection.bind((f"127.0.1.{given.first + number // _OF_AN_ADDRESS}", 0))
        connection.connect(("127.0.0.1", given.port))
        try:
            connection.sendall(given.sent)
        except ConnectionError:
            connection.close()  # shed before it could say anything
            continue
        held.append(connection)
    json.dump({"opened": given.count}, sys.stdout)
    print(flush=True)  # noqa: T201 - whoever started this waits for a line
    sys.stdin.read()
    for connection in held:
        connection.close()


if __name__ == "__main__":
    main()
