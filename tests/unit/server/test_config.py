from pathlib import Path

import pytest

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.config import (
    Settings,
    descriptions,
    listen_address,
    load_settings,
    secret_value,
    to_toml,
)


def _file(folder: Path, text: str) -> Path:
    path = folder / "server.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(_file(tmp_path, ""), {}, {}) == Settings()


def test_what_is_shown_reads_back_as_it_was(tmp_path: Path) -> None:
    settings = Settings(listen="0.0.0.0:1", horizon_days=3, region="eu", metrics_user="")
    assert load_settings(_file(tmp_path, to_toml(settings)), {}, {}) == settings


def test_every_setting_has_a_meaning() -> None:
    assert all(meaning for meaning in descriptions().values())


def test_a_flag_beats_the_environment_and_that_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, 'horizon_days = 1\nregion = "file"\nlog_level = "debug"\n')
    settings = load_settings(
        path,
        {"FLBA_HORIZON_DAYS": "2", "FLBA_REGION": "environment", "OTHER": "x"},
        {"horizon_days": "3"},
    )
    assert (settings.horizon_days, settings.region, settings.log_level) == (
        3,
        "environment",
        "debug",
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('listen = "nowhere"', "listen"),
        ('listen = "127.0.0.1:65536"', "listen"),
        ('listen = ":80"', "listen"),
        ("horizon_days = 0", "horizon_days"),
        ('horizon_days = "many"', "horizon_days"),
        ("body_timeout_s = 0.0", "body_timeout_s"),
        ('log_level = "loud"', "log_level"),
        ('shards = ["shard-0", "shard-1"]', "shards"),
        ('shards = ["inbox-0"]', "shards"),
        ('metrics_user = "prometheus"', "metrics_user"),
        ("unknown_setting = 1", "unknown_setting"),
        ("this is not toml", "TOML"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(ContractError, match=name):
        load_settings(_file(tmp_path, text), {}, {})


@pytest.mark.parametrize(
    ("environment", "flags", "name"),
    [
        ({"FLBA_NOTHING": "1"}, {}, "nothing"),
        ({"FLBA_HORIZON_DAYS": "soon"}, {}, "horizon_days"),
        ({}, {"horizon_days": "-1"}, "horizon_days"),
        ({}, {"connections_max": "1.5"}, "connections_max"),
    ],
)
def test_a_wrong_text_is_refused_by_its_name(
    tmp_path: Path, environment: dict[str, str], flags: dict[str, str], name: str
) -> None:
    with pytest.raises(ContractError, match=name):
        load_settings(_file(tmp_path, ""), environment, flags)


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"absent\.toml"):
        load_settings(tmp_path / "absent.toml", {}, {})


def test_an_ipv6_address_is_taken_out_of_its_brackets() -> None:
    assert listen_address(Settings(listen="[::1]:8080")) == ("::1", 8080)


def test_a_secret_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("from-file\n")
    monkeypatch.setenv("METRICS", "from-environment")
    assert secret_value("metrics_password", "file:password", tmp_path) == "from-file"
    assert secret_value("metrics_password", "env:METRICS", tmp_path) == "from-environment"
    for reference in ("file:absent", "env:ABSENT_NAME", "plain-secret"):
        with pytest.raises(ContractError, match="metrics_password") as caught:
            secret_value("metrics_password", reference, tmp_path)
        assert "plain-secret" not in str(caught.value)
