"""What can be set, with its default and its meaning."""

from typing import Annotated

import msgspec

from fractal_lba.protocol.described import described
from fractal_lba.server.config.tenant_table import TenantTable
from fractal_lba.server.config.worker_settings import WorkerSettings


@described
class Settings(WorkerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Paths are relative to the folder of ``server.toml``."""

    listen: Annotated[str, msgspec.Meta(description="HOST:PORT; port 0 takes a free one.")] = (
        "127.0.0.1:8080"
    )
    data: Annotated[
        str, msgspec.Meta(description="The data folder, from server.toml's folder on.")
    ] = "data"
    keyring: Annotated[
        str,
        msgspec.Meta(
            description="The keyring, mode 0600, from server.toml's folder on; reloaded on change."
        ),
    ] = "keyring.json"
    keyring_poll_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="How often the keyring file is looked at for a change."),
    ] = 2.0
    tls_certificate: Annotated[
        str,
        msgspec.Meta(
            description=(
                "PEM certificate with its chain, from server.toml's folder on, reloaded on change;"
                " empty serves plain HTTP."
            )
        ),
    ] = ""
    tls_key: Annotated[
        str, msgspec.Meta(description="PEM key of tls_certificate, without a password.")
    ] = ""
    tls_client_ca: Annotated[
        str,
        msgspec.Meta(
            description=(
                "PEM certificates that sign those of clients; empty asks no client for one."
            )
        ),
    ] = ""
    tls_client_required: Annotated[
        bool,
        msgspec.Meta(description="Whether a connection without a client certificate is refused."),
    ] = False
    tls_handshake_timeout_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="A TLS handshake that is not done by then is cut."),
    ] = 10.0
    region: Annotated[
        str, msgspec.Meta(description="Where decisions are made; kept with each of them.")
    ] = "local"
    shards: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="NAME or NAME:WEIGHT of each, as data was made with; empty takes those."
        ),
    ] = ()
    horizon_days: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="A new record with an older created_at is refused; others are kept so.",
        ),
    ] = 400
    tenant_accepts_legacy: Annotated[
        bool, msgspec.Meta(description="Whether records of version 0.1 are taken.")
    ] = True
    tenant_rate_per_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="New records a second of one tenant before 429; 0 is no limit."
        ),
    ] = 0.0
    tenant_burst: Annotated[
        int,
        msgspec.Meta(ge=1, description="New records a tenant may send at once after a quiet time."),
    ] = 10_000
    tenant_records_per_day: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="New records of one tenant in a UTC day of receipt; 0 is no limit."
        ),
    ] = 0
    tenant_bytes_per_day: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Bytes of new records of one tenant in a UTC day of receipt; 0: no limit.",
        ),
    ] = 0
    log_level: Annotated[str, msgspec.Meta(description="debug, info, warning or error.")] = "info"
    connections_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description=(
                "Open connections, each a file (ulimit -Hn); over it who waits longest makes room."
            ),
        ),
    ] = 4_096
    connections_per_address_max: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Open connections from one address: one host cannot take them all."
        ),
    ] = 1_024
    address_rate_per_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="Requests a second from one address before 429; 0 is no limit."
        ),
    ] = 5_000.0
    address_burst: Annotated[
        int,
        msgspec.Meta(ge=1, description="Requests an address may send at once after a quiet time."),
    ] = 10_000
    addresses_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Addresses whose rate is remembered, about 200 bytes each.",
        ),
    ] = 65_536
    body_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0, description="A body must be complete within this time, or the answer is 408."
        ),
    ] = 10.0
    batch_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="The same for a batch; 16 MiB in it need 2.2 Mbit/s.",
        ),
    ] = 60.0
    idle_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="A connection that sends no whole request head for so long is closed.",
        ),
    ] = 75.0
    head_bytes_max: Annotated[
        int,
        msgspec.Meta(
            ge=1_024,
            description="A request's head, and anything else that is no body; over it 400.",
        ),
    ] = 16_384
    answer_timeout_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description="An answer that its reader has not taken by then is cut off.",
        ),
    ] = 60.0
    answer_bytes_max: Annotated[
        int,
        msgspec.Meta(
            ge=4_194_304,
            description=(
                "Bytes of answers that wait for their readers; over it the address with most of"
                " them loses what waits longest."
            ),
        ),
    ] = 67_108_864
    requests_in_flight_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Bodies on their way to an answer; 64 KiB each at the most.",
        ),
    ] = 1_024
    requests_in_flight_per_address_max: Annotated[
        int,
        msgspec.Meta(ge=1, description="The same from one address, so that none takes them all."),
    ] = 256
    requests_in_flight_per_tenant_max: Annotated[
        int,
        msgspec.Meta(ge=1, description="The same of one tenant's identified callers."),
    ] = 256
    bytes_in_flight_max: Annotated[
        int,
        msgspec.Meta(
            ge=16_777_216,
            description="Bytes of those bodies as they came, batches included: memory they hold.",
        ),
    ] = 134_217_728
    bytes_in_flight_per_address_max: Annotated[
        int,
        msgspec.Meta(
            ge=16_777_216,
            description="The same from one address, so that none takes it all; a batch is 16 MiB.",
        ),
    ] = 67_108_864
    bytes_in_flight_per_tenant_max: Annotated[
        int,
        msgspec.Meta(ge=16_777_216, description="The same of one tenant's identified callers."),
    ] = 67_108_864
    batches_at_once_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description=(
                "Batches of identified callers inflated and decided at once, up to 64 MiB of"
                " memory each; one of the others beside them."
            ),
        ),
    ] = 4
    served_at_once_shared_max: Annotated[
        int,
        msgspec.Meta(
            ge=2,
            description=(
                "Records decided at once while several tenants send, or unidentified callers beside"
                " them, in equal shares; one that sends alone has no such bound."
            ),
        ),
    ] = 4
    refusals_per_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description=(
                "Refusals a second before a body is read, of one tenant or of all unidentified"
                " callers; those above it are answered later. 0 is no limit."
            ),
        ),
    ] = 200.0
    unidentified_in_flight_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description=(
                "Of requests_in_flight_max, what callers without token or certificate may have"
                " together: the rest is kept for identified ones."
            ),
        ),
    ] = 256
    unidentified_batches_max: Annotated[
        int,
        msgspec.Meta(ge=1, description="Batches among those."),
    ] = 4
    unidentified_bytes_in_flight_max: Annotated[
        int,
        msgspec.Meta(ge=16_777_216, description="Of bytes_in_flight_max, what they may have."),
    ] = 33_554_432
    unidentified_rate_per_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description=(
                "Records a second of all unidentified callers together before 429, each line of"
                " a batch being one: bounds fsyncs and log lines; 0 is no limit."
            ),
        ),
    ] = 1_000.0
    unidentified_burst: Annotated[
        int,
        msgspec.Meta(ge=1, description="Records they may send at once after a quiet time."),
    ] = 10_000
    unidentified_bytes_per_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            description=(
                "Bytes of bodies a second of all of them together before 429, 16 MiB saved up:"
                " bounds the inbox; 0 is no limit."
            ),
        ),
    ] = 1_048_576.0
    unidentified_cpu_share: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            le=1,
            description="Of one core, what reading and verifying their bodies may take.",
        ),
    ] = 0.1
    left_open_max: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Bodies a failure may leave undecided before nothing more is logged.",
        ),
    ] = 10_000
    exports_max: Annotated[
        int, msgspec.Meta(ge=1, description="NDJSON exports at a time; 4 MiB each at the most.")
    ] = 8
    exports_per_tenant_max: Annotated[
        int, msgspec.Meta(ge=1, description="The same of one tenant, so that none takes them all.")
    ] = 2
    export_stall_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="An export whose reader takes nothing for so long is cut."),
    ] = 30.0
    batch_records_max: Annotated[
        int,
        msgspec.Meta(ge=1, description="Records in one commit: one fsync is shared by so many."),
    ] = 256
    batch_bytes_max: Annotated[int, msgspec.Meta(ge=1, description="Bytes in one commit.")] = (
        4_194_304
    )
    segment_bytes_max: Annotated[
        int, msgspec.Meta(ge=1, description="A segment of a log is closed at this size.")
    ] = 67_108_864
    segment_age_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="A segment that holds something is closed at this age."),
    ] = 86_400.0
    inbox_trim_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="How often finished segments of the inbox are removed."),
    ] = 10.0
    inbox_evidence_s: Annotated[
        float,
        msgspec.Meta(
            gt=0,
            description=(
                "How long refused bodies stay in the inbox as evidence, counted from when their"
                " segment was begun; segments of the inbox are closed at a 24th of it."
            ),
        ),
    ] = 86_400.0
    inbox_evidence_bytes_max: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Bytes of finished segments that stay for them, whichever ends first.",
        ),
    ] = 268_435_456
    segment_reserve_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Disk taken ahead of writing: a full one is met before a body; 0: none.",
        ),
    ] = 1_048_576
    disk_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=0, description="Bytes of data at which bodies are refused; 0: no bound."),
    ] = 0
    disk_free_bytes_min: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="Bytes that stay free, and a segment for each further shard; 0: none.",
        ),
    ] = 268_435_456
    disk_poll_s: Annotated[
        float, msgspec.Meta(gt=0, description="How often the data folder is measured.")
    ] = 5.0
    index_map_bytes: Annotated[
        int,
        msgspec.Meta(
            ge=1, description="Address space reserved for an index; doubled when it is full."
        ),
    ] = 1_073_741_824
    index_flush_records: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Decisions held before the index is committed; replayed after a crash.",
        ),
    ] = 4_096
    mend_interval_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="How often a fenced log is tried again on fresh files."),
    ] = 1.0
    grace_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="On SIGTERM, how long accepted requests may take to end."),
    ] = 20.0
    metrics_user: Annotated[
        str, msgspec.Meta(description="User name for GET /metrics; empty asks for none.")
    ] = ""
    metrics_password: Annotated[
        str, msgspec.Meta(description="env:NAME or file:PATH of the password for GET /metrics.")
    ] = ""
    tenants: Annotated[
        dict[str, TenantTable],
        msgspec.Meta(
            description=(
                "Tables [tenants.NAME] set accepts_legacy, horizon_days, rate_per_s, burst,"
                " records_per_day or bytes_per_day for one tenant; as a flag one JSON object."
            )
        ),
    ] = msgspec.field(default_factory=dict)
