"""Strict JSON, one character at a time, with every fault noted and the first in rank raised.

Every number becomes a float: the double its literal rounds to.
"""

from tests.oracle.refusal import Refused

WHITE_SPACE = " \t\n\r"
NUMBER_CHARACTERS = "0123456789+-.eE"
HEXADECIMAL = "0123456789abcdefABCDEF"
ESCAPED = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
WORDS = {"true": True, "false": False, "null": None}
# What does not stop the reader, in the order in which it is reported.
NOTED = ["number_too_long", "number_overflow", "lone_surrogate", "duplicate_member"]


def parse(data: bytes, depth_max: int) -> object:
    """Return the value the bytes hold."""
    if data[:3] == b"\xef\xbb\xbf":
        raise Refused("bad_encoding", "byte_order_mark")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("bad_encoding", "invalid_utf8") from None
    if deepest(text) > depth_max:
        raise malformed("too_deep")
    reader = Reader(text)
    reader.skip_white_space()
    value = reader.value()
    reader.skip_white_space()
    if reader.at != len(text):
        raise malformed("trailing_data")
    for reason in NOTED:
        if reason in reader.faults:
            raise malformed(reason)
    return value


def malformed(reason: str) -> Refused:
    return Refused("malformed_json", reason)


def deepest(text: str) -> int:
    """Return how many brackets outside strings are open at once, sound document or not."""
    open_now = 0
    most = 0
    in_string = False
    skip = False
    for character in text:
        if skip:
            skip = False
        elif in_string:
            if character == "\\":
                skip = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "{[":
            open_now = open_now + 1
            most = max(most, open_now)
        elif character in "}]":
            open_now = open_now - 1
    return most


class Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.faults: set[str] = set()

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def skip_white_space(self) -> None:
        while self.peek() != "" and self.peek() in WHITE_SPACE:
            self.at = self.at + 1

    def take(self, expected: str) -> None:
        if not self.text.startswith(expected, self.at):
            raise malformed("syntax")
        self.at = self.at + len(expected)

    def value(self) -> object:
        first = self.peek()
        if first == "{":
            return self.members()
        if first == "[":
            return self.array()
        if first == '"':
            return self.string()
        for word, meaning in WORDS.items():
            if first == word[0]:
                self.take(word)
                return meaning
        return self.number()

    def members(self) -> dict[str, object]:
        named: dict[str, object] = {}
        self.take("{")
        self.skip_white_space()
        if self.peek() == "}":
            self.take("}")
            return named
        while True:
            self.skip_white_space()
            name = self.string()
            self.skip_white_space()
            self.take(":")
            self.skip_white_space()
            if name in named:
                self.faults.add("duplicate_member")
            named[name] = self.value()
            self.skip_white_space()
            if self.peek() == "}":
                self.take("}")
                return named
            self.take(",")

    def array(self) -> list[object]:
        items: list[object] = []
        self.take("[")
        self.skip_white_space()
        if self.peek() == "]":
            self.take("]")
            return items
        while True:
            self.skip_white_space()
            items.append(self.value())
            self.skip_white_space()
            if self.peek() == "]":
                self.take("]")
                return items
            self.take(",")

    def string(self) -> str:
        self.take('"')
        out = ""
        while True:
            character = self.peek()
            if character == "" or ord(character) < 0x20:
                raise malformed("syntax")
            self.at = self.at + 1
            if character == '"':
                return out
            out = out + (self.escape() if character == "\\" else character)

    def escape(self) -> str:
        kind = self.peek()
        self.at = self.at + 1
        if kind in ESCAPED:
            return ESCAPED[kind]
        if kind != "u":
            raise malformed("syntax")
        unit = self.four_digits()
        if 0xD800 <= unit <= 0xDBFF and self.text.startswith("\\u", self.at):
            before = self.at
            self.at = self.at + 2
            low = self.four_digits()
            if 0xDC00 <= low <= 0xDFFF:
                return chr(0x10000 + (unit - 0xD800) * 0x400 + (low - 0xDC00))
            self.at = before
        if 0xD800 <= unit <= 0xDFFF:
            self.faults.add("lone_surrogate")
        return chr(unit)

    def four_digits(self) -> int:
        digits = self.text[self.at : self.at + 4]
        if len(digits) != 4 or any(digit not in HEXADECIMAL for digit in digits):
            raise malformed("syntax")
        self.at = self.at + 4
        return int(digits, 16)

    def number(self) -> float:
        start = self.at
        while self.peek() != "" and self.peek() in NUMBER_CHARACTERS:
            self.at = self.at + 1
        literal = self.text[start : self.at]
        if not is_number(literal):
            raise malformed("syntax")
        if len(literal) > 64:
            self.faults.add("number_too_long")
            return 0.0
        double = float(literal)
        if double in (float("inf"), float("-inf")):
            self.faults.add("number_overflow")
        return double


def is_number(literal: str) -> bool:
    """Return whether a text is a number of RFC 8259, section 6."""
    rest = literal.removeprefix("-")
    whole = leading_digits(rest)
    if whole == "" or (whole[0] == "0" and whole != "0"):
        return False
    rest = rest[len(whole) :]
    if rest.startswith("."):
        fraction = leading_digits(rest[1:])
        if fraction == "":
            return False
        rest = rest[1 + len(fraction) :]
    if rest[:1] in ("e", "E"):
        rest = rest[1:]
        if rest[:1] in ("+", "-"):
            rest = rest[1:]
        exponent = leading_digits(rest)
        if exponent == "":
            return False
        rest = rest[len(exponent) :]
    return rest == ""


def leading_digits(text: str) -> str:
    digits = ""
    for character in text:
        if character not in "0123456789":
            break
        digits = digits + character
    return digits
