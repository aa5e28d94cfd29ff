"""The route: which endpoint the next request goes to.

Endpoints stand in the order of preference. The first whose breaker is closed is sent everything;
one before it whose wait is over is asked with a single window beside that, and is the way again as
soon as it answers. A window may thus reach two endpoints: each answers it as what it is, the first
time or a repeat.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fractal_lba.agent.breaker import Breaker, Permit, State
from fractal_lba.agent.load import Load
from fractal_lba.agent.measures import Kind, Sample
from fractal_lba.agent.pace import Pace
from fractal_lba.agent.ports import Server


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """One server, and what is known of it.

    Attributes:
        name: Its URL, for people.
        server: Where its requests go.
        pace: How many at once, and how soon.
        load: How many windows in each.
        breaker: Whether it is asked at all.
        in_flight: Requests under way.
        failures: Requests in a row that were refused for the moment or had no answer.
        results: Requests that ended, by what came of them: ``answered`` (some window by itself, for
            good or for now), ``refused`` as a whole, ``failed``.
        opened: How often its breaker opened.
    """

    name: str
    server: Server
    pace: Pace
    load: Load
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    failures: int = 0
    results: Counter[str] = field(default_factory=Counter)
    opened: int = 0


class Route:
    """Endpoints in the order of preference."""

    def __init__(self, servers: Mapping[str, Server], *, in_flight: int) -> None:
        """Begin with every endpoint closed.

        Args:
            servers: By name, one or more, the preferred one first.
            in_flight: Requests at once to each.
        """
        self.endpoints = [
            Endpoint(name=name, server=server, pace=Pace.of(in_flight), load=Load.of(in_flight))
            for name, server in servers.items()
        ]

    def take(self, now_s: float) -> tuple[Endpoint, Permit] | None:
        """Return where a request may go now, with the right to send it; None for nowhere."""
        for endpoint in self.endpoints:
            if endpoint.breaker.state is State.CLOSED and not endpoint.pace.has_room(
                endpoint.in_flight, now_s
            ):
                return None
            permit = endpoint.breaker.permit(now_s)
            if permit is not None:
                endpoint.in_flight += 1
                endpoint.pace.sent(now_s)
                return endpoint, permit
        return None

    def leads_elsewhere(self, endpoint: Endpoint) -> bool:
        """Return whether what an endpoint did not answer can go to another one now."""
        return endpoint.breaker.state is not State.CLOSED and any(
            each.breaker.state is State.CLOSED for each in self.endpoints
        )

    def samples(self) -> Iterator[Sample]:
        """Yield what is known of each endpoint; see ``Measured``."""
        for each in self.endpoints:
            for result in ("answered", "refused", "failed"):
                yield Sample(
                    name="flk_agent_attempts_total",
                    kind=Kind.COUNTER,
                    meaning="Requests that ended, by server and by what came of them.",
                    value=each.results[result],
                    labels={"server": each.name, "result": result},
                )
            yield Sample(
                name="flk_agent_breaker_opened_total",
                kind=Kind.COUNTER,
                meaning="Times that requests to a server were stopped for a while.",
                value=each.opened,
                labels={"server": each.name},
            )
        for each in self.endpoints:
            for state in State:
                yield Sample(
                    name="flk_agent_breaker_state",
                    kind=Kind.GAUGE,
                    meaning="1 for the state a server's breaker is in, 0 for the others.",
                    value=each.breaker.state is state,
                    labels={"server": each.name, "state": state.value},
                )
            for name, meaning, value in (
                ("requests_in_flight", "Requests under way.", each.in_flight),
                (
                    "requests_in_flight_limit",
                    "Requests at once, by what is answered.",
                    int(each.pace.limit),
                ),
            ):
                yield Sample(
                    name=f"flk_agent_{name}",
                    kind=Kind.GAUGE,
                    meaning=meaning,
                    value=value,
                    labels={"server": each.name},
                )

    def due_s(self, now_s: float) -> float | None:
        """Return when time alone opens a way; None where an answer has to come first."""
        times = []
        for endpoint in self.endpoints:
            match endpoint.breaker.state:
                case State.CLOSED:
                    if endpoint.pace.next_s > now_s:
                        times.append(endpoint.pace.next_s)
                    break
                case State.OPEN:
                    times.append(endpoint.breaker.until_s)
                case State.HALF_OPEN:
                    pass
        return min(times, default=None)
