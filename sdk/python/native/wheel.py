"""Pack the native code into the wheel where it was built: one of this platform then, not of any."""

# ruff: noqa: INP001 - what the build backend loads, and no package

import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = "sdk/python/fractal_lba/native/_core.abi3.so"


class NativeHook(BuildHookInterface[Any]):
    """What hatchling calls before it builds a wheel."""

    def initialize(  # type: ignore[explicit-override] # what that needs may not be where this runs
        self, version: str, build_data: dict[str, Any]
    ) -> None:
        """Tag the wheel with the platform and add what was built, if it was."""
        if version == "editable" or not (Path(self.root) / BUILT).is_file():
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["artifacts"].append(f"/{BUILT}")
