"""What is asked of one tenant is asked of no other."""

import time

from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import GLOBEX, body

from fractal_lba.protocol.timestamps import format_timestamp

DAY_MS = 86_400_000


def test_a_tenant_has_a_horizon_of_its_own(folder: Folder) -> None:
    three_days_ago = format_timestamp(int(time.time() * 1000) - 3 * DAY_MS)
    with (folder.path / "server.toml").open("a") as settings:
        settings.write("\n[tenants.globex]\nhorizon_days = 1\n")
    with ServerProcess(folder) as server:
        late = server.submit(body(1, signer=GLOBEX, created_at=three_days_ago))
        assert (late.status, late.json["code"]) == (410, "beyond_horizon")
        assert server.submit(body(1, created_at=three_days_ago)).status == 200
