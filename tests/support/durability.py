"""Read from the order of calls what a power loss could take away."""

from collections.abc import Sequence

from tests.support.failing_disk import Call


def at_risk(calls: Sequence[Call], folder: str) -> set[str]:
    """Return what is not certain to be there after a power loss: ``data of F``, ``name F``.

    Asserts that a file got its name only after its bytes were durable. Names of locks do not
    matter, nor does a truncation or a removed name: both are done again by the next recovery.

    Args:
        calls: From the first one on.
        folder: The name of the folder that holds the files; folders themselves have to be durable
            too.
    """
    data: set[str] = set()
    names: set[str] = set()
    for call in calls:
        match call.name:
            case "create":
                names.add(call.path)
            case "mkdir":
                names.add(call.path)
            case "write_at":
                data.add(call.path)
            case "datasync":
                data.discard(call.path)
            case "rename":
                old = f"{call.path}.new"
                assert old not in data, f"{call.path} was named before its bytes were durable"
                names.discard(old)
                names.add(call.path)
                # The open file goes on under the name it was created with.
            case "unlink":
                names.discard(call.path)
                data.discard(call.path)
            case "sync_dir":
                names = (
                    {name for name in names if name == folder}
                    if call.path == folder
                    else (names - {folder})
                )
            case _:
                pass
    return {f"data of {name}" for name in data} | {f"name {name}" for name in names}
