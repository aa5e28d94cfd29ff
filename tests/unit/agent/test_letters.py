"""Dead letters chosen, sent again and dropped, whatever interrupts it."""

import copy
import errno
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.support.agent_world import MemoryServer, csv_stream, plan, run, world
from tests.support.failing_disk import Crash, FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut import cut_power
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.cli import cli
from fractal_lba.agent.contents import Contents
from fractal_lba.agent.deadletters import FILE, read_dead_letters
from fractal_lba.agent.frames import AgainMeta, window_frame
from fractal_lba.agent.letters import Choice, drop, letters_of, send_again
from fractal_lba.agent.opening import FOLDER, STREAM, open_log
from fractal_lba.agent.status import read_status
from fractal_lba.agent.tally import Exit
from fractal_lba.protocol import ContractError, DurabilityError, LockedError, parse_record
from fractal_lba.wal import Disk, RealDisk, Stream

NOW_NS = 1_767_225_700_000_000_000
ALL = Choice()
DONE = 1_000_000
"""No call: the change was done."""

# Windows 1 … 6 are of stream s, epochs 0 … 5; 7 and 8 of stream t.
REFUSED = {("s", 1): 401, ("s", 3): 409, ("s", 4): 401, ("t", 0): 401}


def refused(data: Path, disk: Disk | None = None, *, sources: Path | None = None) -> Path:
    """Fill a data folder: eight windows, four of them not accepted.

    Args:
        data: The folder.
        disk: Where it is.
        sources: Where the files are that are observed; beside the folder by default.
    """
    server = MemoryServer(
        status=lambda record: REFUSED.get((record["shard_id"], record["epoch"]), 200)
    )
    sources = sources or data.parent
    streams = [
        csv_stream(sources / "x.csv", 18),
        csv_stream(sources / "y.csv", 6, shard_id="t", first=100),
    ]
    run_virtual(run(plan(data, *streams, in_flight=1), world(server, disk)))
    return data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return refused(tmp_path / "d")


def seqs(data: Path, choice: Choice = ALL, disk: Disk | None = None) -> list[int]:
    _, letters = letters_of(disk or RealDisk(), data, choice)
    return [letter.outbox_seq for letter in letters]


def pending(data: Path, disk: Disk | None = None) -> list[tuple[str, int]]:
    """Return stream and epoch of what the outbox will send, from its records."""
    stream = Stream.open(disk or RealDisk(), data / FOLDER, STREAM)
    try:
        contents = Contents.read(stream.scan(), next_seq=stream.next_seq)
        records = [
            parse_record(stream.read(contents.pending[seq].position).payload)
            for seq in contents.pending
        ]
    finally:
        stream.close()
    return [(record.shard_id, record.epoch) for record in records]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), 4),
        (Choice(statuses=frozenset({401})), 3),
        (Choice(statuses=frozenset({401, 409})), 4),
        (Choice(statuses=frozenset({401}), streams=frozenset({"s"})), 2),
        (Choice(epochs=(1, 3)), 2),
        (Choice(epochs=(0, 0)), 1),
        (Choice(codes=frozenset({"x"})), 0),
        (Choice(streams=frozenset({"u"})), 0),
    ],
)
def test_letters_fit_by_everything_that_is_said(data: Path, choice: Choice, expected: int) -> None:
    found = seqs(data, choice)
    assert len(found) == expected


def test_letters_are_chosen_by_their_numbers(data: Path) -> None:
    first, _, third, _ = seqs(data)
    assert seqs(data, Choice(seqs=frozenset({first, third, 999}))) == [first, third]


def test_a_letter_put_back_is_sent_and_leaves_the_list_when_it_is_accepted(data: Path) -> None:
    send_again(RealDisk(), data, Choice(statuses=frozenset({401})), now_ns=NOW_NS)
    assert len(seqs(data)) == 1
    server = MemoryServer()
    tally = run_virtual(run(plan(data), world(server)))
    assert (tally.resumed, tally.accepted, tally.pending) == (3, 3, 0)
    assert {(each["shard_id"], each["epoch"]) for each in server.sent} == {
        ("s", 1), ("s", 4), ("t", 0),
    }  # fmt: skip
    assert len(seqs(data)) == 1


def test_a_letter_that_is_refused_again_is_a_letter_again_under_its_new_number(data: Path) -> None:
    before = seqs(data)
    send_again(RealDisk(), data, ALL, now_ns=NOW_NS)
    assert seqs(data) == []
    run_virtual(run(plan(data), world(MemoryServer(status=lambda _record: 422))))
    assert len(seqs(data)) == 4
    assert not set(seqs(data)) & set(before)


def test_what_is_put_back_moves_no_stream_and_no_source(data: Path) -> None:
    before = read_status(RealDisk(), data, has_ids=False).contents.streams()
    send_again(RealDisk(), data, ALL, now_ns=NOW_NS)
    status = read_status(RealDisk(), data, has_ids=True)
    assert status.contents.streams() == before
    assert status.ids is not None
    states = [window.state for window in status.ids.values()]
    assert states.count("sent again") == states.count("pending") == 4
    # Nothing is cut again, and nothing is left out.
    stream = csv_stream(data.parent / "x.csv", 21)
    server = MemoryServer()
    run_virtual(run(plan(data, stream), world(server)))
    epochs = sorted(each["epoch"] for each in server.sent if each["shard_id"] == "s")
    assert epochs == [1, 3, 4, 6]


def test_dropped_letters_are_gone_and_no_other(data: Path) -> None:
    lines = (data / FILE).read_bytes().splitlines(keepends=True)
    drop(RealDisk(), data, Choice(statuses=frozenset({409})), now_ns=NOW_NS)
    left = [line for line in lines if b'"status":409' not in line]
    assert len(left) == 3
    assert (data / FILE).read_bytes() == b"".join(left)
    assert pending(data) == []


def test_the_last_line_of_a_number_counts_and_all_of_them_are_dropped(data: Path) -> None:
    first = (data / FILE).read_bytes().splitlines(keepends=True)[0]
    with (data / FILE).open("ab") as file:
        file.write(first.replace(b'"status":401', b'"status":410'))
    number = json.loads(first)["outbox_seq"]
    assert number not in seqs(data, Choice(statuses=frozenset({401})))
    assert seqs(data, Choice(statuses=frozenset({410}))) == [number]
    drop(RealDisk(), data, Choice(seqs=frozenset({number})), now_ns=NOW_NS)
    assert number not in seqs(data)
    assert len(list(read_dead_letters(RealDisk(), data))) == 3


def test_damaged_lines_stay_until_they_are_dropped_by_name(data: Path) -> None:
    with (data / FILE).open("ab") as file:
        file.write(b"\0\0\0\n")
    send_again(RealDisk(), data, ALL, now_ns=NOW_NS)
    assert (data / FILE).read_bytes() == b"\0\0\0\n"
    drop(RealDisk(), data, ALL, now_ns=NOW_NS, is_damaged=True)
    assert (data / FILE).read_bytes() == b""
    with pytest.raises(ContractError, match="got none"):
        drop(RealDisk(), data, ALL, now_ns=NOW_NS, is_damaged=True)


def test_a_run_tells_of_a_damaged_last_letter_and_a_change_of_others_keeps_it(data: Path) -> None:
    lines = (data / FILE).read_bytes().splitlines(keepends=True)
    bent = b"".join(lines[:-1]) + lines[-1].replace(b'"pcs_id"', b'"pcs_ie"')[:-1]
    (data / FILE).write_bytes(bent)
    drop(RealDisk(), data, Choice(statuses=frozenset({409})), now_ns=NOW_NS)
    assert (data / FILE).read_bytes() == bent.replace(
        next(line for line in lines if b'"status":409' in line), b""
    )
    tally = run_virtual(run(plan(data), world(MemoryServer())))
    assert tally.exit == Exit.UNWRITABLE
    (told,) = tally.durability_failures
    assert "1 lines at the end that cannot be read" in told
    status = read_status(RealDisk(), data, has_ids=False)
    assert (status.dead_letters, status.unreadable_letters) == (2, 1)


def _bend(data: Path, line: int, **members: object) -> None:
    """Change members of one letter."""
    lines = (data / FILE).read_bytes().splitlines()
    lines[line] = msgspec.json.encode(json.loads(lines[line]) | members)
    (data / FILE).write_bytes(b"".join(each + b"\n" for each in lines))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"record": {"a": 1}}, "expected a signed record, got another"),
        ({"record": None}, "expected a signed record, got another"),
        ({"pcs_id": "0" * 64}, "expected the record of pcs_id"),
        ({"shard_id": "other"}, "expected the record of pcs_id"),
        ({"epoch": 77}, "expected the record of pcs_id"),
    ],
)
def test_a_letter_with_another_record_is_refused_and_nothing_is_put_back(
    data: Path, members: dict[str, object], reason: str
) -> None:
    _bend(data, 2, **members)
    before = (data / FILE).read_bytes()
    with pytest.raises(ContractError, match=rf"dead letter [0-9]+: {reason}"):
        send_again(RealDisk(), data, ALL, now_ns=NOW_NS)
    assert (data / FILE).read_bytes() == before
    assert pending(data) == []


@pytest.mark.parametrize("is_ordered", [True, False])
def test_a_window_that_is_no_record_is_counted_and_the_others_are_sent(
    data: Path,
    is_ordered: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    stream, _ = open_log(RealDisk(), data, now_ns=NOW_NS)
    meta = AgainMeta(letter=1, shard_id="s", next_epoch=1)
    stream.append([window_frame(meta, b'{"a":1}', received_ns=NOW_NS)])
    stream.close()
    send_again(RealDisk(), data, ALL, now_ns=NOW_NS)
    tally = run_virtual(run(plan(data, is_ordered=is_ordered), world(MemoryServer())))
    assert (tally.resumed, tally.accepted, tally.pending, tally.unreadable) == (5, 4, 1, 1)
    assert tally.exit == Exit.UNWRITABLE


def test_nothing_that_fits_changes_nothing(data: Path) -> None:
    before = (data / FILE).read_bytes()
    with pytest.raises(ContractError, match="expected a dead letter that fits, got none"):
        send_again(RealDisk(), data, Choice(statuses=frozenset({410})), now_ns=NOW_NS)
    assert (data / FILE).read_bytes() == before
    assert pending(data) == []


def test_beside_a_running_agent_it_is_refused_with_the_way_out(data: Path) -> None:
    stream, _ = open_log(RealDisk(), data, now_ns=NOW_NS)
    try:
        for change in (send_again, drop):
            with pytest.raises(LockedError, match=r"stop that agent \(SIGTERM\)"):
                change(RealDisk(), data, ALL, now_ns=NOW_NS)
        assert len(seqs(data)) == 4
    finally:
        stream.close()


def _failures(change: Callable[[Disk, Path], object], tmp_path: Path) -> Iterator[tuple[Disk, int]]:
    """Yield the disk behind a power cut at each call of a change and behind it, and the call."""
    made = MemoryDisk(Path("/m"), random.Random(1))  # noqa: S311 - a seed
    refused(Path("/m/d"), made, sources=tmp_path)
    call = 0
    while True:
        call += 1
        rng = random.Random(call)  # noqa: S311 - a seed
        memory = copy.deepcopy(made)
        failing = FailingDisk(memory, fail_at=call, error=None, is_syncing=True)
        try:
            change(failing, Path("/m/d"))
        except Crash:
            failing.abandon()
            cut_power(memory, rng)
            yield memory, call
        else:
            print(f"{call - 1} calls")  # noqa: T201 - that none is left out
            for seed in range(20):
                after = copy.deepcopy(memory)
                cut_power(after, random.Random(seed))  # noqa: S311 - a seed
                yield after, DONE
            return


def test_power_lost_at_any_call_loses_no_letter_that_is_put_back(tmp_path: Path) -> None:
    calls = 0
    for disk, calls in _failures(
        lambda disk, data: send_again(disk, data, ALL, now_ns=NOW_NS), tmp_path
    ):
        _, letters = letters_of(disk, Path("/m/d"), ALL)
        left = {(letter.shard_id, letter.epoch) for letter in letters}
        assert left in ((set(),) if calls == DONE else (set(REFUSED), set())), calls
        assert left | set(pending(Path("/m/d"), disk)) == set(REFUSED), calls
    assert calls == DONE


def test_power_lost_at_any_call_drops_all_or_none(tmp_path: Path) -> None:
    calls = 0
    kept = {key for key, status in REFUSED.items() if status != 401}
    choice = Choice(statuses=frozenset({401}))
    for disk, calls in _failures(
        lambda disk, data: drop(disk, data, choice, now_ns=NOW_NS), tmp_path
    ):
        _, letters = letters_of(disk, Path("/m/d"), ALL)
        left = {(letter.shard_id, letter.epoch) for letter in letters}
        assert left in ((kept,) if calls == DONE else (set(REFUSED), kept)), calls
        assert pending(Path("/m/d"), disk) == []
    assert calls == DONE


def test_a_full_disk_is_said_and_changes_nothing(data: Path) -> None:
    probe = FailingDisk(RealDisk())
    drop(probe, refused(data.parent / "e"), ALL, now_ns=NOW_NS)
    at = 1 + [call.path for call in probe.calls].index(f"{FILE}.new")
    before = (data / FILE).read_bytes()
    with pytest.raises(DurabilityError, match="No space left"):
        drop(FailingDisk(RealDisk(), fail_at=at, error=errno.ENOSPC), data, ALL, now_ns=NOW_NS)
    assert (data / FILE).read_bytes() == before
    drop(RealDisk(), data, ALL, now_ns=NOW_NS)
    assert seqs(data) == []


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["dead-letters", *arguments])


class TestCommands:
    def test_list_says_what_there_is_and_why(self, data: Path) -> None:
        result = command("list", "--data", str(data), "--stream", "s")
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert [line.split("  ")[1:3] for line in lines] == [
            ["401 -", "s 1"], ["409 -", "s 3"], ["401 -", "s 4"],
        ]  # fmt: skip
        assert result.stderr.splitlines() == ["2 × 401", "1 × 409"]
        found = json.loads(command("list", "--data", str(data), "--json").stdout)
        assert (found["chosen"], found["reasons"]) == (4, {"401": 3, "409": 1})
        assert {each["outbox_seq"] for each in found["letters"]} == set(seqs(data))
        assert "record" not in found["letters"][0]
        nothing = command("list", "--data", str(data), "--status", "500")
        assert (nothing.exit_code, nothing.stdout) == (0, "")
        assert nothing.stderr == "0 dead letters that fit\n"

    def test_show_prints_the_whole_letter(self, data: Path) -> None:
        number = seqs(data)[0]
        result = command("show", "--data", str(data), str(number))
        assert result.exit_code == 0
        (line,) = result.stdout.splitlines()
        assert json.loads(line) == json.loads((data / FILE).read_bytes().splitlines()[0])

    def test_retry_and_drop_do_what_they_say(self, data: Path) -> None:
        result = command("retry", "--data", str(data), "--status", "401", "--epoch", "0-1")
        assert (result.exit_code, result.stdout) == (0, "2 put back into the outbox\n")
        assert pending(data) == [("s", 1), ("t", 0)]
        result = command("drop", "--data", str(data), "--all", "--yes", "--json")
        assert (result.exit_code, json.loads(result.stdout)["chosen"]) == (0, 2)
        assert seqs(data) == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["retry"], "or --all, got neither"),
            (["retry", "--all", "--status", "401"], "or --all, got both"),
            (["drop", "--yes"], "or --all, got neither"),
            (["drop", "--all"], "expected --yes, since what is dropped is gone for good, got 4"),
            (["drop", "--damaged", "--all", "--yes"], "--damaged: expected nothing else"),
            (["retry", "--status", "410"], "expected a dead letter that fits, got none"),
            (["show", "999"], "expected a dead letter that fits, got none"),
            (["list", "--epoch", "3-1"], "expected N or LOW-HIGH"),
        ],
    )
    def test_what_is_not_said_plainly_changes_nothing(
        self, data: Path, arguments: list[str], message: str
    ) -> None:
        before = (data / FILE).read_bytes()
        result = command(*arguments, "--data", str(data))
        assert result.exit_code == 2
        assert message in result.stderr
        assert (data / FILE).read_bytes() == before
        assert pending(data) == []

    def test_a_folder_that_is_none_is_refused(self, tmp_path: Path) -> None:
        result = command("list", "--data", str(tmp_path))
        assert result.exit_code == 2
        assert "expected a data folder of fractal-agent" in result.stderr

    def test_damaged_lines_are_told(self, data: Path) -> None:
        with (data / FILE).open("ab") as file:
            file.write(b"\0\n")
        result = command("list", "--data", str(data))
        assert result.exit_code == 4
        assert "1 lines cannot be read" in result.stderr
        assert command("drop", "--data", str(data), "--damaged", "--yes").exit_code == 0
        assert command("list", "--data", str(data)).exit_code == 0
