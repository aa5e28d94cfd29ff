"""What tells a changed file from the one that was loaded."""

from pathlib import Path

from fractal_lba.server.storage.fingerprint import fingerprint


def test_a_file_whose_mode_was_corrected_is_another(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"")
    before, seen = fingerprint(path), path.stat().st_ctime_ns
    assert fingerprint(path) == before
    while path.stat().st_ctime_ns == seen:  # the clock of files is coarse
        path.chmod(0o600)
    assert fingerprint(path) != before


def test_a_file_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "gone") is None
