"""Files with secrets: refused when others can read them, written whole or not at all."""

import base64
import errno
import io
import json
import os
import stat
from pathlib import Path

import pytest

from fractal_lba.keyfile import load_keyring, write_private
from fractal_lba.keyfile.private_files import FILE_BYTES_MAX
from fractal_lba.protocol import KeyringError

SECRET = b"hunter2-hunter2-hunter2-hunter2-"


def private(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def ring_with(path: Path, secret: str) -> Path:
    key = {"kid": "lab-1", "tenant": "lab", "alg": "hmac-sha256", "secret": secret}
    return private(path, json.dumps({"keys": [key]}).encode())


def secret_of(path: Path) -> bytes | None:
    return load_keyring(path).keys["lab-1"].secret


def why(path: Path) -> str:
    with pytest.raises(KeyringError) as caught:
        load_keyring(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "hunter2" not in message.removeprefix(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_a_private_ring_is_read(tmp_path: Path) -> None:
    encoded = base64.b64encode(SECRET).decode()
    assert secret_of(ring_with(tmp_path / "keyring.json", f"base64:{encoded}")) == SECRET


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_a_ring_others_can_reach_is_refused(tmp_path: Path, bit: int) -> None:
    path = ring_with(tmp_path / "keyring.json", "base64:AA==")
    path.chmod(0o600 | bit)
    assert why(path) == f"expected mode 0600, got {0o600 | bit:04o}: others can reach the file"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_ring_its_owner_alone_can_reach_is_read(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "keyring.json", b'{"keys":[]}')
    path.chmod(mode)
    assert not load_keyring(path).keys


def test_an_absent_ring_is_refused(tmp_path: Path) -> None:
    assert why(tmp_path / "none") == "expected a file to read, got No such file or directory"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert why(folder) == "expected a regular file, got another kind"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert why(pipe) == "expected a regular file, got another kind"


def test_a_file_beyond_any_ring_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "keyring.json", b"")
    os.truncate(path, FILE_BYTES_MAX + 1)
    assert why(path) == f"expected at most {FILE_BYTES_MAX} bytes, got more"


def test_a_broken_ring_is_refused_by_its_name(tmp_path: Path) -> None:
    path = private(tmp_path / "keyring.json", b"{")
    assert why(path) == "keyring: expected strict JSON, got syntax"


def test_a_secret_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ring_with(tmp_path / "keyring.json", "env:LAB_1")
    monkeypatch.delenv("LAB_1", raising=False)
    assert why(path).startswith('keys[0] kid "lab-1" secret: expected a variable')
    monkeypatch.setenv("LAB_1", SECRET.decode())
    assert secret_of(path) == SECRET


def test_a_secret_comes_from_a_file_beside_the_ring(tmp_path: Path) -> None:
    path = ring_with(tmp_path / "keyring.json", "file:lab-1.secret")
    assert "secret: expected a file to read, got No such file" in why(path)
    private(tmp_path / "lab-1.secret", SECRET)
    assert secret_of(path) == SECRET


def test_a_secret_comes_from_an_absolute_path(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    secret = private(elsewhere / "lab-1", SECRET)
    assert secret_of(ring_with(tmp_path / "keyring.json", f"file:{secret}")) == SECRET


def test_a_secret_file_others_can_reach_is_refused(tmp_path: Path) -> None:
    path = ring_with(tmp_path / "keyring.json", "file:lab-1.secret")
    private(tmp_path / "lab-1.secret", SECRET).chmod(0o640)
    assert 'kid "lab-1" secret: expected mode 0600, got 0640' in why(path)


@pytest.mark.parametrize("name", ["hunter2", "hunter2\0", "\0", "../hunter2"])
@pytest.mark.parametrize("kind", ["file", "env"])
def test_a_secret_written_where_a_name_belongs_is_not_shown(
    tmp_path: Path, kind: str, name: str
) -> None:
    why(ring_with(tmp_path / "keyring.json", f"{kind}:{name}"))


def test_a_private_file_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    before = os.umask(0)
    try:
        write_private(path, SECRET)
    finally:
        os.umask(before)
    assert path.read_bytes() == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_replaced_and_its_mode_with_it(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_data_the_file_and_its_folder_are_synced_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keyring.json"
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        calls.append(f"fsync {kind} of {os.fstat(handle).st_size if kind == 'file' else '-'}")
        fsync(handle)

    def noted_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_private(path, SECRET)
    assert calls == ["fsync file of 32", "rename", "fsync folder of -"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = private(tmp_path / "keyring.json", b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_private(path, SECRET)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_that_fails_refuses_the_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(tmp_path / "keyring.json", b'{"keys":[]}')

    class Broken(io.BytesIO):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()

        def read(self, _: int | None = -1) -> bytes:  # type: ignore[explicit-override]  # 3.11 has no typing.override
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdopen", Broken)
    assert why(path) == "expected a file to read, got Input/output error"


def test_a_replaced_file_keeps_its_owner_and_group(tmp_path: Path) -> None:
    path = private(tmp_path / "keyring.json", b"old")
    # Whoever is not root may give a file to one of its own groups alone.
    is_root = os.geteuid() == 0
    owner = (12_345, 12_346) if is_root else (os.geteuid(), os.getgroups()[-1])
    os.chown(path, *owner)
    write_private(path, b"new")
    status = path.stat()
    assert (status.st_uid, status.st_gid) == owner
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert path.read_bytes() == b"new"


def test_a_file_whose_owner_cannot_be_kept_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(tmp_path / "keyring.json", b"old")

    stat_of = Path.stat

    def of_somebody_else(self: Path) -> os.stat_result:
        if self != path:
            return stat_of(self)
        return os.stat_result((0o100600, 1, 1, 1, 12_345, 12_346, 3, 0, 0, 0))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", of_somebody_else)
        with pytest.raises(PermissionError, match="uid 12345, gid 12346") as caught:
            write_private(path, b"new")
    assert "run it as that user or as root" in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_ring_of_another_user_is_refused_with_both_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = private(tmp_path / "keyring.json", b'{"keys":[]}')

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    message = why(path)
    assert message.startswith("expected a file to read, got Permission denied: runs as uid 54321, ")
    assert message.endswith(f"uid {path.stat().st_uid})")
