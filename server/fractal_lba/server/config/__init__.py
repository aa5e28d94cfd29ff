"""The server's settings: what can be set, and how it is read."""

from fractal_lba.server.config.divided import budget_of, divided, workers_of
from fractal_lba.server.config.load import (
    LOG_LEVELS,
    SHARDS_DEFAULT,
    descriptions,
    listen_address,
    load_settings,
    metrics_credentials,
    resolve,
    secret_value,
    shard_set,
    shard_specs,
    to_toml,
)
from fractal_lba.server.config.policies import policies
from fractal_lba.server.config.settings import Settings
from fractal_lba.server.config.tenant_table import TenantTable

__all__ = [
    "LOG_LEVELS",
    "SHARDS_DEFAULT",
    "Settings",
    "TenantTable",
    "budget_of",
    "descriptions",
    "divided",
    "listen_address",
    "load_settings",
    "metrics_credentials",
    "policies",
    "resolve",
    "secret_value",
    "shard_set",
    "shard_specs",
    "to_toml",
    "workers_of",
]
