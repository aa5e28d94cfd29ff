"""Servers for the golden exchanges: one for the cases without settings, one for each other."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from golden_vectors.exchanges import Address, Serve
from tests.support.server_process import Folder, ServerProcess


@contextmanager
def serving() -> Iterator[Serve]:
    """Give what starts a server for a case; all of them end with the block."""
    with ExitStack() as servers:
        shared: dict[bytes, Address] = {}

        def started(keyring: bytes, settings: Mapping[str, str]) -> Address:
            root = servers.enter_context(tempfile.TemporaryDirectory())
            folder = Folder(Path(root) / "folder", shards="1")
            (folder.path / "keyring.json").write_bytes(keyring)
            flags = [(f"--{name.replace('_', '-')}", value) for name, value in settings.items()]
            server = ServerProcess(folder, *(word for flag in flags for word in flag))
            return servers.enter_context(server).address

        def serve(keyring: bytes, settings: Mapping[str, str]) -> Address:
            # A setting such as a quota counts what other cases did.
            if settings:
                return started(keyring, settings)
            if keyring not in shared:
                shared[keyring] = started(keyring, settings)
            return shared[keyring]

        yield serve
