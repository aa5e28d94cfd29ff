"""What an agent inside a program is told, and what follows from it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Required, TypedDict

from fractal_lba.access import access_of
from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.endpoint import parse_address
from fractal_lba.agent.folder import check_usable
from fractal_lba.agent.hooks import Hooks, Silent
from fractal_lba.agent.kept import Keeping
from fractal_lba.agent.machine import signing_key
from fractal_lba.agent.option_checks import check_names, check_types, urls_of
from fractal_lba.agent.outcome import Outcome
from fractal_lba.agent.ports import SystemClock, now_ms
from fractal_lba.agent.record import Recipe, rehearse
from fractal_lba.agent.session import Shipping
from fractal_lba.agent.verdict import Fate
from fractal_lba.client import Client, RetryPolicy
from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol import ContractError, Profile
from fractal_lba.signals import DEFAULT_SCALES, DEFAULT_SEED
from fractal_lba.wal import RealDisk

_LOG = logging.getLogger("fractal_lba.agent")

Callback = Callable[[Outcome], None]

IN_FLIGHT_DEFAULT = 16
GRACE_DEFAULT_S = 10.0


class AgentOptions(TypedDict, total=False):
    """The options of ``Agent`` and ``SyncAgent``; what is not Required has a default.

    Attributes:
        data: The agent's folder, for the outbox and the dead letters; one agent at a time.
        url: The server, ``http://HOST:PORT`` or ``https://…``; or several, the preferred one
            first: the next one is used while those before it do not answer.
        keyring: File with the signing key's secret, mode 0600.
        shard_id: The stream of what is observed without naming one.
        kid: The key to sign with; not needed where only one can sign.
        seed: 0 … 2^53−1; default 42.
        scales: Cells for each axis; default 2, 4, 8, 16, 32.
        meta: Members of each record's ``meta`` (model, task, …).
        degraded: Values that are not finite or beyond 1e300 are replaced and named in the record,
            which is escalated; default: such a window is refused.
        token_file: A bearer token.
        ca: Whom to trust over TLS.
        cert: Client certificate.
        key: Its key.
        in_flight: Requests on their way at once at the most, each of up to 256 windows; default 16.
        ordered: A stream's next window is sent only when the one before it has its final answer.
        grace_s: For so long ``close`` goes on sending; default 10.
        give_up_s: Where windows wait and none had a final answer for so many seconds (1 or more),
            nothing more is observed (``GaveUpError``) or sent; default None: it waits for ever.
        outbox: How much may wait for an answer, and what happens beyond; default: as the command.
        kept: Where windows are kept, and how many; default: nowhere.
        on_accepted: Called with the outcome of each window that was accepted, on the agent's loop,
            at least once for each window: after a crash an answer is asked for again. It must
            return at once; where it raises, that is logged.
        on_escalated: The same for each that was accepted and escalated, which is not also told as
            accepted.
        on_dead: The same for each that was not accepted and is in the dead letters now.
        hooks: Told when observing, appending and sending begin and end.
        metrics: ``HOST:PORT`` to answer ``GET /metrics`` on; default: nowhere.
    """

    data: Required[Path | str]
    url: Required[str | Sequence[str]]
    keyring: Required[Path | str]
    shard_id: Required[str]
    kid: str | None
    seed: int
    scales: Sequence[int]
    meta: Mapping[str, str | int | bool]
    degraded: bool
    token_file: Path | str | None
    ca: Path | str | None
    cert: Path | str | None
    key: Path | str | None
    in_flight: int
    ordered: bool
    grace_s: float
    give_up_s: float | None
    outbox: OutboxBounds
    kept: Keeping | None
    on_accepted: Callback
    on_escalated: Callback
    on_dead: Callback
    hooks: Hooks
    metrics: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What follows from the options.

    Attributes:
        shipping: How windows are signed, kept and shipped.
        shard_id: The stream of what is observed without naming one.
        callbacks: Who is told of which fate.
        hooks: Told when something begins and ends.
        metrics: Where to answer ``GET /metrics``; None for nowhere.
        clients: Makes the ways to the servers, by URL, the preferred one first.
        say: Told of each failure at once.
    """

    shipping: Shipping
    shard_id: str
    callbacks: Mapping[Fate, Callback]
    hooks: Hooks
    metrics: tuple[str, int] | None
    clients: Callable[[], Mapping[str, Client]]
    say: Callable[[str], None] = _LOG.warning


def setup_of(options: AgentOptions) -> Setup:
    """Return what follows from the options.

    Raises:
        ContractError: One of them cannot be used.
    """
    given: dict[str, object] = dict(options)
    check_names(given, AgentOptions.__required_keys__, AgentOptions.__optional_keys__)
    check_types(given)
    check_usable(RealDisk(), Path(options["data"]))
    in_flight = options.get("in_flight", IN_FLIGHT_DEFAULT)
    if in_flight < 1:
        raise ContractError(f"in_flight: expected 1 or more, got {in_flight}")
    recipe = Recipe(
        key=signing_key(
            load_keyring(Path(options["keyring"])),
            options.get("kid"),
            name=str(options["keyring"]),
            now_ms=now_ms(SystemClock()),
        ),
        seed=options.get("seed", DEFAULT_SEED),
        scales=tuple(options.get("scales", DEFAULT_SCALES)),
        meta=options.get("meta", {}),
        is_repairing=options.get("degraded", False),
    )
    rehearse(recipe, options["shard_id"], Profile.POINTS)
    access = access_of(
        token_file=_path_of(options.get("token_file")),
        ca=_path_of(options.get("ca")),
        cert=_path_of(options.get("cert")),
        key=_path_of(options.get("key")),
    )
    urls = urls_of(options["url"])

    def clients() -> Mapping[str, Client]:
        return {
            each: Client(each, token=access.token, tls=access.tls, connections_max=in_flight)
            for each in urls
        }

    clients()  # a bad address is refused now
    callbacks = {
        Fate.ACCEPTED: options.get("on_accepted"),
        Fate.ESCALATED: options.get("on_escalated"),
        Fate.DEAD: options.get("on_dead"),
    }
    address = options.get("metrics")
    return Setup(
        shipping=Shipping(
            data=Path(options["data"]),
            recipe=recipe,
            in_flight=in_flight,
            grace_s=options.get("grace_s", GRACE_DEFAULT_S),
            policy=RetryPolicy(),
            outbox=options.get("outbox", OutboxBounds()),
            kept=options.get("kept"),
            is_ordered=options.get("ordered", False),
            give_up_s=options.get("give_up_s"),
        ),
        shard_id=options["shard_id"],
        callbacks={fate: each for fate, each in callbacks.items() if each is not None},
        hooks=options.get("hooks", Silent()),
        metrics=None if address is None else parse_address(address),
        clients=clients,
    )


def _path_of(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)
