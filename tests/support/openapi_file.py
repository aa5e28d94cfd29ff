"""``make openapi``: write the description of the calls as a file."""

import json
from pathlib import Path

from fractal_lba.server.http.openapi import document

FILE = Path(__file__).parents[2] / "specs" / "openapi.json"

if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
