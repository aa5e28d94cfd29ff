"""Who may send a body, as the settings say."""

import time

from fractal_lba.server.config import Settings
from fractal_lba.server.core.admission import Rate
from fractal_lba.server.core.ndjson import BATCH_BYTES_MAX
from fractal_lba.server.http.admit import Admission, Bounded
from fractal_lba.server.http.bytes_in_flight import BytesInFlight
from fractal_lba.server.http.lanes import LaneBounds, Unidentified
from fractal_lba.server.http.limits import Addresses
from fractal_lba.server.http.refusals import Refusals
from fractal_lba.server.http.shares import Shares
from fractal_lba.server.ports import Decisions, Inbox, Meter, Room


def admission_of(
    settings: Settings, *, inbox: Inbox, decisions: Decisions, room: Room, meter: Meter
) -> Admission:
    """Return the admission of one worker, whose settings these are."""
    return Admission(
        inbox=inbox,
        decisions=decisions,
        room=room,
        addresses=Addresses(
            Rate(per_s=settings.address_rate_per_s, burst=settings.address_burst),
            addresses_max=settings.addresses_max,
        ),
        bounds=Bounded(
            body_timeout_s=settings.body_timeout_s,
            batch_timeout_s=settings.batch_timeout_s,
            requests_in_flight_max=settings.requests_in_flight_max,
            in_flight_per_address_max=settings.requests_in_flight_per_address_max,
            in_flight_per_tenant_max=settings.requests_in_flight_per_tenant_max,
            left_open_max=settings.left_open_max,
        ),
        bytes_in_flight=BytesInFlight(
            total_max=settings.bytes_in_flight_max,
            per_address_max=settings.bytes_in_flight_per_address_max,
            per_tenant_max=settings.bytes_in_flight_per_tenant_max,
            unidentified_max=settings.unidentified_bytes_in_flight_max,
        ),
        lane=_lane(settings),
        shares=Shares(settings.served_at_once_shared_max, monotonic=time.monotonic_ns),
        refusals=Refusals(settings.refusals_per_s, monotonic=time.monotonic_ns),
        meter=meter,
    )


def _lane(settings: Settings) -> Unidentified:
    return Unidentified(
        LaneBounds(
            in_flight_max=settings.unidentified_in_flight_max,
            batches_max=settings.unidentified_batches_max,
            records=Rate(per_s=settings.unidentified_rate_per_s, burst=settings.unidentified_burst),
            bytes=Rate(per_s=settings.unidentified_bytes_per_s, burst=BATCH_BYTES_MAX),
        ),
        monotonic=time.monotonic_ns,
    )
