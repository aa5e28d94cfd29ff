"""A server over what an earlier release wrote answers as that one did."""

import json
import shutil

from tests.support import old_files
from tests.support.forked import run_command
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body
from tests.support.stored_folder import conflicting, decided

AT_NS = 1_793_534_400_000_000_000


def members(entry: object) -> dict[str, object]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}  # type: ignore[attr-defined]


def test_outcomes_of_an_earlier_release_stay_as_they_were(folder: Folder) -> None:
    """Its entries are of version 1; this one appends its own, and a restart reads both."""
    shutil.rmtree(folder.data)
    first, second = decided(epoch=1), decided(epoch=2, D_hat=3.0)
    frames = [
        old_files.entry("decision", members(first)),
        old_files.entry("decision", members(second)),
        old_files.entry("conflict", members(conflicting(1))),
    ]
    old_files.write_shards(folder.data)
    old_files.write_stream(
        folder.data / "shard-0" / "ledger",
        old_files.segment("shard-0/ledger", frames, received_ns=AT_NS),
    )
    migrate = ("fractal-server", "migrate", "--config", folder.config)
    done = run_command(*migrate)
    assert (done.returncode, b"build it again" in done.stdout) == (1, True)
    assert run_command(*migrate, "--apply").returncode == 0
    for _ in range(2):
        with ServerProcess(folder) as server:
            for sent, decision in ((body(1), first), (body(2, D_hat=3.0), second)):
                again = server.submit(sent)
                assert (again.status, again.body) == (decision.status, decision.answer)
                assert again.is_replayed
            assert server.submit(body(1, n=65)).json["code"] == "pcs_id_conflict"
            # What both versions decide, they decide alike.
            new = server.submit(body(3))
            assert (new.status, new.body) == (200, decided(epoch=3).answer)
            assert run_command(*migrate, "--apply").returncode == 2
            assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["conflicts"]) == (0, 3, 1)
    said = [json.loads(line) for line in run_command(*migrate).stdout.splitlines()]
    (ledger,) = (each for each in said if each["where"] == "shard-0/ledger")
    assert ledger["found"] == {"segment 1, entry 1": 3, "segment 1, entry 2": 1}
