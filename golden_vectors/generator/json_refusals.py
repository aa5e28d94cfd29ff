"""Strict JSON: what both layers refuse, for which reason, and which of several faults is named."""

from typing import Final

from golden_vectors.generator.files import Note, VectorFile

NOTES: Final = {
    "Rfc3629": Note(
        explanation="Byte sequences that a careless decoder of UTF-8 would take for characters.",
        source="RFC 3629, sections 3 and 10",
    ),
    "Rfc8259": Note(
        explanation="Sample values, and a text the specification calls unpredictable or invalid.",
        source="RFC 8259, sections 4, 6, 7, 8.2 and 13",
    ),
    "Rfc7493": Note(
        explanation="What I-JSON forbids: surrogates that are alone, duplicate names.",
        source="RFC 7493, sections 2.1 and 2.3",
    ),
    "Encoding": Note(explanation="A byte order mark, or bytes that are not UTF-8 anywhere."),
    "Depth": Note(
        explanation="More open objects and arrays than the layer allows, the outermost being 1; "
        "counted by a scan of its own, in documents that are not sound too."
    ),
    "Grammar": Note(explanation="Text that does not begin with one value of RFC 8259."),
    "Trailing": Note(explanation="Anything but white space after the value."),
    "NumberLength": Note(explanation="A number literal of more than 64 characters."),
    "NumberOverflow": Note(explanation="A number literal whose nearest double is an infinity."),
    "Surrogate": Note(explanation="An escaped surrogate without its other half right beside it."),
    "Duplicate": Note(
        explanation="A name twice in one object, compared after unescaping, without normalisation."
    ),
    "Precedence": Note(
        explanation="Several faults in one document: the one of the highest rank is named, "
        "wherever it stands."
    ),
    "Accepted": Note(explanation="A neighbour of a refused document that is sound."),
}

ENCODING: Final = "bad_encoding"
MALFORMED: Final = "malformed_json"
TOO_DEEP: Final = (MALFORMED, "too_deep", None)
NESTED: Final = {"jcs": 64, "record": 8}

# (comment, flag, document, reason); the code follows from the reason.
REFUSED: Final = (
    ("overlong C0 80", "Rfc3629", b'"\xc0\x80"', "invalid_utf8"),
    ("surrogates ED A1 8C ED BE B4", "Rfc3629", b'"\xed\xa1\x8c\xed\xbe\xb4"', "invalid_utf8"),
    ("overlong slash 2F C0 AE 2E 2F", "Rfc3629", b'"\x2f\xc0\xae\x2e\x2f"', "invalid_utf8"),
    ("a lone surrogate, DEAD", "Rfc8259", rb'"\uDEAD"', "lone_surrogate"),
    ("Infinity cannot be represented", "Rfc8259", b"[Infinity]", "syntax"),
    ("NaN cannot be represented", "Rfc8259", b"[NaN]", "syntax"),
    ("leading zeros are not allowed", "Rfc8259", b"[013]", "syntax"),
    ("names should be unique", "Rfc8259", b'{"a":1,"a":1}', "duplicate_member"),
    ("1E400 is beyond a double", "Rfc8259", b"1E400", "number_overflow"),
    ("a surrogate in a name", "Rfc7493", rb'{"\uDEAD":1}', "lone_surrogate"),
    (
        "names that are equal after unescaping",
        "Rfc7493",
        rb'{"a":1,"\u0061":2}',
        "duplicate_member",
    ),
    ("a byte order mark", "Encoding", b"\xef\xbb\xbf{}", "byte_order_mark"),
    ("a byte order mark alone", "Encoding", b"\xef\xbb\xbf", "byte_order_mark"),
    ("Latin-1", "Encoding", b'"\xe9"', "invalid_utf8"),
    ("UTF-16", "Encoding", b"\xff\xfe{\x00}\x00", "invalid_utf8"),
    ("a sequence cut short", "Encoding", b'"\xe2\x82', "invalid_utf8"),
    ("a continuation byte alone", "Encoding", b'"\x80"', "invalid_utf8"),
    ("above U+10FFFF", "Encoding", b'"\xf4\x90\x80\x80"', "invalid_utf8"),
    ("five bytes", "Encoding", b'"\xf8\x88\x80\x80\x80"', "invalid_utf8"),
    ("after the value", "Encoding", b"{}\xff", "invalid_utf8"),
    ("nothing", "Grammar", b"", "syntax"),
    ("white space alone", "Grammar", b" \n", "syntax"),
    ("a trailing comma in an array", "Grammar", b"[1,]", "syntax"),
    ("a trailing comma in an object", "Grammar", b'{"a":1,}', "syntax"),
    ("a leading comma", "Grammar", b"[,1]", "syntax"),
    ("no comma", "Grammar", b"[1 2]", "syntax"),
    ("a colon in an array", "Grammar", b"[1:2]", "syntax"),
    ("a name without a value", "Grammar", b'{"a"}', "syntax"),
    ("a name that is no string", "Grammar", b"{1:1}", "syntax"),
    ("a name without quotes", "Grammar", b"{a:1}", "syntax"),
    ("single quotes", "Grammar", b"['a']", "syntax"),
    ("a comment", "Grammar", b"/* a */ 1", "syntax"),
    ("a comment of one line inside", "Grammar", b"[1 // a\n]", "syntax"),
    ("an array that is not closed", "Grammar", b"[1", "syntax"),
    ("brackets that do not match", "Grammar", b"[1}", "syntax"),
    ("a string that is not closed", "Grammar", b'"a', "syntax"),
    ("a string that ends in its escape", "Grammar", b'"a\\', "syntax"),
    ("a line end inside a string", "Grammar", b'"a\nb"', "syntax"),
    ("a tab inside a name", "Grammar", b'{"a\tb":1}', "syntax"),
    ("a NUL inside a string", "Grammar", b'"\x00"', "syntax"),
    ("an escape JSON does not have", "Grammar", rb'"\x41"', "syntax"),
    ("three digits after u", "Grammar", rb'"\u004"', "syntax"),
    ("a sign among the digits after u", "Grammar", rb'"\u+041"', "syntax"),
    ("-Infinity", "Grammar", b"-Infinity", "syntax"),
    ("a minus alone", "Grammar", b"-", "syntax"),
    ("a plus sign", "Grammar", b"+1", "syntax"),
    ("two signs", "Grammar", b"--1", "syntax"),
    ("a leading zero, at the end of the text", "Grammar", b"01", "syntax"),
    ("a leading zero after a minus", "Grammar", b"-01", "syntax"),
    ("no digit before the point", "Grammar", b".5", "syntax"),
    ("no digit after the point", "Grammar", b"1.", "syntax"),
    ("no digit in the exponent", "Grammar", b"1e", "syntax"),
    ("no digit after the exponent's sign", "Grammar", b"1e+", "syntax"),
    ("a fraction in the exponent", "Grammar", b"1e5.5", "syntax"),
    ("hexadecimal", "Grammar", b"[0x10]", "syntax"),
    ("digits of another script", "Grammar", "\u0661".encode(), "syntax"),
    ("a literal in upper case", "Grammar", b"True", "syntax"),
    ("a literal cut short", "Grammar", b"nul", "syntax"),
    ("a no-break space", "Grammar", b"\xc2\xa01", "syntax"),
    ("a form feed", "Grammar", b"\x0c1", "syntax"),
    ("two values", "Trailing", b"1 2", "trailing_data"),
    ("two documents on two lines", "Trailing", b"{}\n{}", "trailing_data"),
    ("a second bracket", "Trailing", b"[] ]", "trailing_data"),
    ("a letter behind a literal", "Trailing", b"truex", "trailing_data"),
    ("a letter behind a number", "Trailing", b"1x", "trailing_data"),
    ("a number behind a string", "Trailing", b'"a"1', "trailing_data"),
    ("a comma", "Trailing", b"{},", "trailing_data"),
    ("a NUL", "Trailing", b"{}\x00", "trailing_data"),
    ("a comment behind", "Trailing", b"1 // a", "trailing_data"),
    ("65 digits", "NumberLength", b"[" + b"1" * 65 + b"]", "number_too_long"),
    ("65 characters with point", "NumberLength", b"0." + b"3" * 63, "number_too_long"),
    ("the sign counts", "NumberLength", b"-" + b"1" * 64, "number_too_long"),
    ("the exponent counts", "NumberLength", b"1" * 62 + b"e+0", "number_too_long"),
    ("zeros count", "NumberLength", b"0." + b"0" * 63, "number_too_long"),
    ("1e309", "NumberOverflow", b"1e309", "number_overflow"),
    ("-1e309", "NumberOverflow", b"[-1e309]", "number_overflow"),
    (
        "the smallest that rounds up",
        "NumberOverflow",
        b"1.7976931348623159e308",
        "number_overflow",
    ),
    ("an exponent of nine digits", "NumberOverflow", b"1e999999999", "number_overflow"),
    ("a high surrogate at the end", "Surrogate", rb'"\ud83d"', "lone_surrogate"),
    ("a high one and a letter", "Surrogate", rb'"\ud83d\u0041"', "lone_surrogate"),
    ("low before high", "Surrogate", rb'"\ude00\ud83d"', "lone_surrogate"),
    ("high, high, low", "Surrogate", rb'"\ud83d\ud83d\ude00"', "lone_surrogate"),
    ("a pair with a letter between", "Surrogate", rb'"\ud83dx\ude00"', "lone_surrogate"),
    ("a pair over two strings", "Surrogate", rb'["\ud83d","\ude00"]', "lone_surrogate"),
    ("in a value that a duplicate replaces", "Surrogate", rb'{"a":"\ud83d"}', "lone_surrogate"),
    ("other values", "Duplicate", b'{"a":1,"b":2,"a":3}', "duplicate_member"),
    ("the empty name", "Duplicate", b'{"":1,"":1}', "duplicate_member"),
    ("in an inner object", "Duplicate", b'[{"b":{"a":1,"a":1}}]', "duplicate_member"),
    (
        "special in some languages",
        "Duplicate",
        b'{"__proto__":1,"__proto__":1}',
        "duplicate_member",
    ),
    (
        "a pair of escapes and the character",
        "Duplicate",
        rb'{"\ud83d\ude00":1,' + '"\U0001f600":1}'.encode(),
        "duplicate_member",
    ),
    ("mark before bad UTF-8", "Precedence", b"\xef\xbb\xbf\xff", "byte_order_mark"),
    ("bad UTF-8 at the end before depth", "Precedence", b"[" * 65 + b"\xff", "invalid_utf8"),
    ("bad UTF-8 at the end before grammar", "Precedence", b"[,] \xff", "invalid_utf8"),
    ("depth before grammar that fails earlier", "Precedence", b"}," + b"[" * 66, "too_deep"),
    ("depth before what follows the value", "Precedence", b"1 " + b"[" * 66, "too_deep"),
    ("grammar at the end before a duplicate", "Precedence", b'{"a":1,"a":2,}', "syntax"),
    ("grammar at the end before a long number", "Precedence", b"[" + b"1" * 65, "syntax"),
    ("grammar at the end before a surrogate", "Precedence", rb'["\ud83d",]', "syntax"),
    ("a run of number characters before its tail", "Precedence", b"1-1", "syntax"),
    ("what follows before a duplicate", "Precedence", b'{"a":1,"a":2} 1', "trailing_data"),
    ("what follows before an overflow", "Precedence", b"1e400 1", "trailing_data"),
    (
        "a long number before an earlier overflow",
        "Precedence",
        b"[1e400," + b"1" * 65 + b"]",
        "number_too_long",
    ),
    ("length before overflow in one literal", "Precedence", b"9" * 400, "number_too_long"),
    (
        "overflow before an earlier surrogate",
        "Precedence",
        rb'["\ud83d",1e400]',
        "number_overflow",
    ),
    (
        "a surrogate before an earlier duplicate",
        "Precedence",
        rb'[{"a":1,"a":1},"\ud83d"]',
        "lone_surrogate",
    ),
    (
        "a surrogate in a value that its duplicate replaces",
        "Precedence",
        rb'{"a":"\ud83d","a":1}',
        "lone_surrogate",
    ),
    (
        "a long number in a value that its duplicate replaces",
        "Precedence",
        b'{"a":' + b"1" * 65 + b',"a":1}',
        "number_too_long",
    ),
    (
        "two lone surrogates are one name",
        "Precedence",
        rb'{"\ud83d":1,"\ud83d":1}',
        "lone_surrogate",
    ),
)

ACCEPTED: Final = (
    ("three scalars of the RFC", "Rfc8259", b'["Hello world!", 42, true]'),
    ("white space around", "Accepted", b" \t\r\n1 \t\r\n"),
    ("64 characters", "Accepted", b"-0." + b"3" * 61),
    ("the literal next to overflow", "Accepted", b"1.7976931348623158e308"),
    ("a long literal next to overflow", "Accepted", b"17976931348623158079" + b"0" * 5 + b"e284"),
    ("an underflow", "Accepted", b"1e-999999999"),
    ("an escaped backslash before ud83d", "Accepted", rb'"\\ud83d"'),
    ("names equal after normalisation only", "Accepted", '{"\u00e9":1,"e\u0301":1}'.encode()),
    ("one name in two objects", "Accepted", b'[{"a":1},{"a":1}]'),
    ("a byte order mark as a character", "Accepted", b'"\xef\xbb\xbf"'),
    ("closing brackets in a string", "Accepted", b'["]]}}"]'),
)


def json_refusals_file() -> VectorFile:
    """Return the cases of ``json_refusals.json``."""
    made = VectorFile(
        name="json_refusals",
        algorithm="Strict JSON: the layer JCS (depth at most 64) and the layer record (at most 8)",
        specification="specs/pcs.md, section 1.1",
        notes=NOTES,
    )
    for comment, flag, document, reason in REFUSED:
        code = ENCODING if reason in {"byte_order_mark", "invalid_utf8"} else MALFORMED
        for layer in ("jcs", "record"):
            given = {"layer": layer, "document": document.hex()}
            made.refused(f"{comment} ({layer})", flag, given, (code, reason, None))
    for layer, most in NESTED.items():
        for comment, document in (
            ("arrays", b"[" * (most + 1) + b"]" * (most + 1)),
            ("objects", b'{"a":' * most + b"{}" + b"}" * most),
            ("arrays that are never closed", b"[" * (most + 1)),
            ("closed and opened before", b"[[]," * most + b"[]" + b"]" * most),
        ):
            given = {"layer": layer, "document": document.hex()}
            made.refused(f"{comment}, one past ({layer})", "Depth", given, TOO_DEEP)
        bracket = {"layer": layer, "document": (b'["\\"' + b"[" * 65 + b'"]').hex()}
        made.valid(f"brackets behind an escaped quote ({layer})", "Depth", bracket)
        held = {"layer": layer, "document": (b"[" * most + b"]" * most).hex()}
        made.valid(f"arrays to the limit ({layer})", "Depth", held)
    held = {"layer": "jcs", "document": (b"[" * 9 + b"]" * 9).hex()}
    made.valid("deeper than a record may be, for the layer JCS", "Depth", held)
    for comment, flag, document in ACCEPTED:
        for layer in ("jcs", "record"):
            given = {"layer": layer, "document": document.hex()}
            made.valid(f"{comment} ({layer})", flag, given)
    return made
