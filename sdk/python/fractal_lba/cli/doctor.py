"""``doctor``: what a machine has to be like, checked before somebody else finds out."""

import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from fractal_lba.access import access_of
from fractal_lba.cli import checks
from fractal_lba.cli.checks import Finding, Status
from fractal_lba.cli.endpoint import access_options, endpoint
from fractal_lba.cli.streams import EXIT_REFUSED, write_json, write_output
from fractal_lba.command.usage import epilog
from fractal_lba.protocol import ContractError

_URL: Final = "--url: expected http://HOST:PORT or https://… without user and query, got another"


@click.command(
    "doctor",
    short_help="Check clock, disk, limits, keyring and server.",
    epilog=epilog(
        examples=[
            "fractal-lba doctor",
            "fractal-lba doctor --folder /var/lib/fractal-lba --keyring keyring.json",
            "fractal-lba doctor --url http://server:8080 --json",
            "fractal-lba doctor --url https://server:8443 --ca ca.pem --cert me.pem --key me.key",
        ],
        exit_codes={
            0: "nothing fails; there may be warnings",
            1: "something fails, and the line says what to do",
            2: "an option cannot be used, or the output not written",
        },
    ),
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure its disk: syncs of a small file (removed again) and free space.  "
    "[default: the current one]",
)
@click.option(
    "--keyring",
    "keyring_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check its mode and content.",
)
@click.option(
    "--url",
    help="Ask this server whether it lives, is ready and knows the caller; compare the clocks.",
)
@access_options
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def doctor_command(
    *,
    folder: Path | None,
    keyring_path: Path | None,
    url: str | None,
    is_json: bool,
    **files: Path | None,
) -> None:
    """Check what this machine needs for an agent or a server: one line for each check.

    A line says ok, warn or fail, what was found and, where something is wrong, what to do. Nothing
    is changed.
    """
    if url is not None:
        _check_url(url)
    elif any(files.values()):
        raise click.UsageError("--token-file, --ca, --cert and --key: expected a --url beside them")
    try:
        access = access_of(**files)
    except ContractError as error:
        raise click.UsageError(str(error)) from error
    measured = folder or Path()
    now_ns = time.time_ns()
    findings = [
        checks.clock(now_ns / 1e9),
        checks.syncs(measured),
        checks.space(measured),
        checks.files(),
    ]
    if keyring_path is not None:
        findings.append(checks.keyring(keyring_path, now_ns // 1_000_000))
    if url is not None:
        findings += endpoint(url, access)
    if is_json:
        write_json(
            {
                "ok": not _has_failed(findings),
                "checks": [
                    {
                        "check": each.check,
                        "status": each.status.value,
                        "found": each.found,
                        "advice": each.advice or None,
                    }
                    for each in findings
                ],
            }
        )
    else:
        write_output("".join(_line(each) for each in findings).encode())
    if _has_failed(findings):
        click.get_current_context().exit(EXIT_REFUSED)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_sound = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and "@" not in parts.netloc
            and not parts.query
            and not parts.fragment
            and url.isascii()
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        is_sound = False
    if not is_sound:
        raise click.UsageError(_URL)


def _has_failed(findings: list[Finding]) -> bool:
    return any(each.status is Status.FAIL for each in findings)


def _line(finding: Finding) -> str:
    advice = f"\n      → {finding.advice}" if finding.advice else ""
    return f"{finding.status:<4}  {finding.check}: {finding.found}{advice}\n"
