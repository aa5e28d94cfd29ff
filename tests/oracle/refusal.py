"""Why something is refused: a code, a reason, and the member where there is one."""


class Refused(Exception):  # noqa: N818 - the domain's word for it
    """What every implementation must give for the same bytes."""

    def __init__(self, code: str, reason: str, member: str | None = None) -> None:
        super().__init__(f"{code} {reason} {member}")
        self.code = code
        self.reason = reason
        self.member = member
