from pathlib import Path

import pytest

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.config import (
    Settings,
    TenantTable,
    descriptions,
    listen_address,
    load_settings,
    policies,
    secret_value,
    to_toml,
)
from fractal_lba.server.core.tenant_policy import TenantPolicy


def _file(folder: Path, text: str) -> Path:
    path = folder / "server.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_settings(_file(tmp_path, ""), {}, {}) == Settings()


def test_what_is_shown_reads_back_as_it_was(tmp_path: Path) -> None:
    settings = Settings(listen="0.0.0.0:1", horizon_days=3, region="eu", metrics_user="")
    assert load_settings(_file(tmp_path, to_toml(settings)), {}, {}) == settings


def test_the_tables_of_tenants_read_back_as_they_were(tmp_path: Path) -> None:
    settings = Settings(
        tenants={
            "acme.eu-1": TenantTable(horizon_days=3, accepts_legacy=False, rate_per_s=0.5),
            "globex": TenantTable(),
        }
    )
    assert load_settings(_file(tmp_path, to_toml(settings)), {}, {}) == settings


def test_a_table_overrides_single_members_of_one_tenant(tmp_path: Path) -> None:
    text = "horizon_days = 9\ntenant_burst = 5\n[tenants.acme]\nrate_per_s = 2\nburst = 7\n"
    asked = policies(load_settings(_file(tmp_path, text), {}, {}))
    assert asked.of("acme") == TenantPolicy(horizon_days=9, rate_per_s=2.0, burst=7)
    assert asked.of("globex") == TenantPolicy(horizon_days=9, burst=5)


def test_tables_of_tenants_can_be_given_as_one_text(tmp_path: Path) -> None:
    path = _file(tmp_path, "[tenants.acme]\nrate_per_s = 2\n")
    given = load_settings(path, {"FLBA_TENANTS": '{"globex": {"burst": 1}}'}, {})
    assert given.tenants == {"globex": TenantTable(burst=1)}


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
        ('shards = ["shard-0", "shard-0"]', "shards: expected each name once"),
        ('shards = ["shard-0:0"]', "shards: expected NAME or NAME:WEIGHT"),
        ('shards = ["shard-0:17"]', "shards: expected NAME or NAME:WEIGHT"),
        ('shards = ["shard-0:"]', "shards: expected NAME or NAME:WEIGHT"),
        ('shards = ["a/b"]', "shards: expected NAME or NAME:WEIGHT"),
        (f"shards = {[f's{at}' for at in range(65)]}", "shards: expected at most 64, got 65"),
        ('shards = ["inbox-0"]', "shards"),
        ('metrics_user = "prometheus"', "metrics_user"),
        ("unknown_setting = 1", "unknown_setting"),
        ("tenant_records_per_day = -1", "tenant_records_per_day"),
        ("[tenants.acme]\nbytes_per_day = -1", r"tenants\.acme.*bytes_per_day"),
        ("[tenants.acme]\nhorizon_days = 0", r"tenants\.acme.*horizon_days"),
        ("[tenants.acme]\ncolour = 1", r"tenants\.acme.*colour"),
        ("[tenants.'a b']\nburst = 1", "tenants.*a b"),
        ("tenants = 1", "tenants"),
        ("this is not toml", "TOML"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(ContractError, match=name):
        load_settings(_file(tmp_path, text), {}, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('horizon_days = "many"', "horizon_days: expected a whole number, got text"),
        ("horizon_days = true", "horizon_days: expected a whole number, got true"),
        ("horizon_days = 0", "horizon_days: expected a whole number >= 1, got 0"),
        ("body_timeout_s = -1.5", "body_timeout_s: expected a number > 0.0, got -1.5"),
        ("body_timeout_s = []", "body_timeout_s: expected a number, got a list"),
        ("tls_client_required = 1", "tls_client_required: expected true or false, got 1"),
        ("region = 7", "region: expected text, got 7"),
        ("[region]\na = 1", "region: expected text, got a table"),
        ('shards = "a"', "shards: expected a list, got text"),
        ('shards = ["a", 3]', "shards[1]: expected text, got 3"),
        ("tenants = 1", "tenants: expected a table, got 1"),
        ("tenants.acme = 'x'", "tenants.acme: expected a table, got text"),
        ("[tenants.acme]\nburst = 'x'", "tenants.acme.burst: expected a whole number, got text"),
        ("[tenants.acme]\ncolour = 1", "expected a known setting, got 'tenants.acme.colour'"),
        ("unknown_setting = 1", "expected a known setting, got 'unknown_setting'"),
    ],
)
def test_a_setting_of_a_wrong_type_is_told_with_what_was_expected_and_what_came(
    tmp_path: Path, text: str, said: str
) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ContractError) as caught:
        load_settings(path, {}, {})
    assert str(caught.value) == f"{path}: {said}"


def test_a_text_in_place_of_a_number_is_not_shown(tmp_path: Path) -> None:
    mistaken = "hunter2"
    for text, environment in (
        (f"horizon_days = '{mistaken}'", {}),
        ("", {"FLBA_TENANT_BURST": mistaken}),
        ("", {"FLBA_TENANTS": f'{{"acme": {{"burst": "{mistaken}"}}}}'}),
    ):
        with pytest.raises(ContractError) as caught:
            load_settings(_file(tmp_path, text), environment, {})
        assert "got text" in str(caught.value)
        assert mistaken not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "flags", "name"),
    [
        ({"FLBA_NOTHING": "1"}, {}, "nothing"),
        ({"FLBA_HORIZON_DAYS": "soon"}, {}, "horizon_days"),
        ({}, {"horizon_days": "-1"}, "horizon_days"),
        ({}, {"connections_max": "1.5"}, "connections_max"),
        ({}, {"tenants": "{"}, "tenants"),
        ({}, {"tenants": '{"acme": 1}'}, r"tenants\.acme"),
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
