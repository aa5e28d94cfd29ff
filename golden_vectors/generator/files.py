"""One file of vectors: a header, and numbered cases each on a line of its own.

The verdict on a case, and what comes from outside the project, are stated where the case is made.
The other values of a valid case are filled in from the Python SDK's answer, and an answer that
differs from what was stated stops the generator. ``tests/oracle`` recomputes all of them without
the SDK.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from golden_vectors.runner import answer

SCHEMA_VERSION: Final = 1

Refusal = tuple[str, str, str | None]
"""Code, reason, and the member where there is one."""


class StatedOtherwise(Exception):  # noqa: N818 - what it is
    """The SDK's answer is not what a case states."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a flag means, and where the cases under it come from, if from outside."""

    explanation: str
    source: str | None = None


@dataclass(kw_only=True)
class VectorFile:
    """A file in the making.

    Attributes:
        name: the file's name without ``.json``, and that of its schema.
        algorithm: what the cases are about.
        specification: where the rule stands.
        notes: every flag that a case of the file may bear.
    """

    name: str
    algorithm: str
    specification: str
    notes: Mapping[str, Note]
    tests: list[dict[str, Any]] = field(default_factory=list)

    def valid(
        self, comment: str, flag: str, given: Mapping[str, Any], **stated: object
    ) -> dict[str, Any]:
        """Add a case that holds; return what is expected of it.

        Raises:
            StatedOtherwise: The SDK refuses it, or gives another value than a stated one.
        """
        result, expected = answer(self.name, given)
        wrong = {name for name, value in stated.items() if expected.get(name) != value}
        if result != "valid" or wrong:
            raise StatedOtherwise(f"{self.name}: {comment}: {result} {expected}, not {stated}")
        self._add(comment, flag, given, "valid", expected)
        return expected

    def stated(
        self,
        comment: str,
        flag: str,
        given: Mapping[str, Any],
        expected: Mapping[str, Any],
    ) -> None:
        """Add a case that holds, its whole answer stated: nothing is asked for it here."""
        self._add(comment, flag, given, "valid", expected)

    def invalid(self, comment: str, flag: str, given: Mapping[str, Any], **stated: object) -> None:
        """Add a case that must be refused, exactly as stated."""
        self._add(comment, flag, given, "invalid", stated)

    def refused(self, comment: str, flag: str, given: Mapping[str, Any], refusal: Refusal) -> None:
        """Add a case that must be refused with this code, reason and member."""
        code, reason, member = refusal
        self.invalid(comment, flag, given, code=code, reason=reason, member=member)

    def text(self) -> str:
        """Return the file: a readable header, then a case on each line."""
        flags = {flag for test in self.tests for flag in test["flags"]}
        if flags != set(self.notes):
            raise StatedOtherwise(f"{self.name}: flags {flags ^ set(self.notes)}")
        header = {
            "schema": f"schemas/{self.name}.schema.json",
            "schemaVersion": SCHEMA_VERSION,
            "algorithm": self.algorithm,
            "specification": self.specification,
            "numberOfTests": len(self.tests),
            "notes": {
                flag: {"explanation": note.explanation, "source": note.source}
                for flag, note in self.notes.items()
            },
        }
        head = json.dumps(header, ensure_ascii=True, indent=1).removesuffix("\n}")
        lines = ",\n".join(json.dumps(test, ensure_ascii=True) for test in self.tests)
        return f'{head},\n "tests": [\n{lines}\n ]\n}}\n'

    def _add(
        self,
        comment: str,
        flag: str,
        given: Mapping[str, Any],
        result: str,
        expected: Mapping[str, Any],
    ) -> None:
        self.tests.append(
            {
                "tcId": len(self.tests) + 1,
                "comment": comment,
                "flags": [flag],
                "input": dict(given),
                "result": result,
                "expected": dict(expected),
            }
        )
