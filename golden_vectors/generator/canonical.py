"""Canonical bytes: documents of the JCS layer and the one spelling each has."""

import struct
from typing import Final

from golden_vectors.generator.files import Note, VectorFile

NOTES: Final = {
    "Rfc8785Example": Note(
        explanation="The sample documents of the RFC, and their canonical form as printed there.",
        source="RFC 8785, sections 3.2.2 and 3.2.3",
    ),
    "Rfc8785AppendixB": Note(
        explanation="Doubles given by their bits with the text that ECMAScript writes for them.",
        source="RFC 8785, appendix B",
    ),
    "Rfc8259Example": Note(
        explanation="Sample documents of the JSON specification; only the order of names differs.",
        source="RFC 8259, section 13",
    ),
    "NumberText": Note(
        explanation="A literal is the double it rounds to, and a double has one text."
    ),
    "StringText": Note(
        explanation="Which characters are escaped, and how; all others are written as they are."
    ),
    "NameOrder": Note(explanation="Names are sorted by their UTF-16 code units, at every level."),
    "WhiteSpace": Note(explanation="White space between tokens is dropped, inside strings kept."),
    "Structure": Note(explanation="Empty, nested and scalar documents, to a depth of 64."),
}

APPENDIX_B: Final = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}

RFC8785_3_2_2: Final = rb"""{
  "numbers": [333333333.33333329, 1E30, 4.50,
              2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"""
RFC8785_3_2_2_CANONICAL: Final = (
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
    '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
)
RFC8785_3_2_3: Final = rb"""{
  "\u20ac": "Euro Sign",
  "\r": "Carriage Return",
  "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face",
  "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}"""
RFC8785_3_2_3_CANONICAL: Final = (
    '{"\\r":"Carriage Return","1":"One","\x80":"Control",'
    '"\u00f6":"Latin Small Letter O With Diaeresis","\u20ac":"Euro Sign",'
    '"\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}'
)
RFC8259_IMAGE: Final = b"""{
  "Image": {
      "Width":  800,
      "Height": 600,
      "Title":  "View from 15th Floor",
      "Thumbnail": {
          "Url":    "http://www.example.com/image/481989943",
          "Height": 125,
          "Width":  100
      },
      "Animated" : false,
      "IDs": [116, 943, 234, 38793]
    }
}"""
RFC8259_IMAGE_CANONICAL: Final = (
    '{"Image":{"Animated":false,"Height":600,"IDs":[116,943,234,38793],'
    '"Thumbnail":{"Height":125,"Url":"http://www.example.com/image/481989943","Width":100},'
    '"Title":"View from 15th Floor","Width":800}}'
)
RFC8259_CITY: Final = b"""[
  {
     "precision": "zip",
     "Latitude":  37.7668,
     "Longitude": -122.3959,
     "Address":   "",
     "City":      "SAN FRANCISCO",
     "State":     "CA",
     "Zip":       "94107",
     "Country":   "US"
  }
]"""
RFC8259_CITY_CANONICAL: Final = (
    '[{"Address":"","City":"SAN FRANCISCO","Country":"US","Latitude":37.7668,'
    '"Longitude":-122.3959,"State":"CA","Zip":"94107","precision":"zip"}]'
)

# A literal and its text.
NUMBERS: Final = {
    "1": "1",
    "1.0": "1",
    "1e0": "1",
    "10E-1": "1",
    "-0": "0",
    "-0.0e5": "0",
    "1e-400": "0",
    "-1e-400": "0",
    "0.1": "0.1",
    "0.10000000000000001": "0.1",
    "5e-05": "0.00005",
    "1e-6": "0.000001",
    "1e-7": "1e-7",
    "123e-9": "1.23e-7",
    "1e20": "100000000000000000000",
    "123456789012345678901": "123456789012345680000",
    "1e21": "1e+21",
    "9007199254740991": "9007199254740991",
    "-9007199254740991": "-9007199254740991",
    "9007199254740993": "9007199254740992",
    "18446744073709551615": "18446744073709552000",
    "2.2250738585072014e-308": "2.2250738585072014e-308",
    "2.2250738585072011e-308": "2.225073858507201e-308",
    "2.4703282292062328e-324": "5e-324",
    "2.4703282292062327e-324": "0",
    "1.7976931348623158e308": "1.7976931348623157e+308",
    "4.35": "4.35",
    "0.000001234": "0.000001234",
    "1.5e300": "1.5e+300",
    "1.660964047": "1.660964047",
    "100": "100",
    "1" + "0" * 63: "1e+63",
    "0." + "3" * 62: "0.3333333333333333",
}
STRINGS: Final = {
    "each short escape": (rb'"\b\t\n\f\r\"\\"', '"\\b\\t\\n\\f\\r\\"\\\\"'),
    "a slash loses its escape": (rb'"\/"', '"/"'),
    "the lowest and the highest control character": (rb'"\u0000\u001F"', '"\\u0000\\u001f"'),
    "a control character without a short escape, in upper case": (rb'"\u000B"', '"\\u000b"'),
    "delete is no control character of JSON": (b'"\x7f"', '"\x7f"'),
    "line and paragraph separators are written as they are": (
        rb'"\u2028\u2029"',
        '"\u2028\u2029"',
    ),
    "an escaped letter": (rb'"\u0041"', '"A"'),
    "a pair of escaped surrogates": (rb'"\uD834\uDD1E"', '"\U0001d11e"'),
    "the last code point": (rb'"\uDBFF\uDFFF"', '"\U0010ffff"'),
    "noncharacters": (rb'"\ufffe\uffff"', '"\ufffe\uffff"'),
    "a byte order mark inside a string": (rb'"\ufeff"', '"\ufeff"'),
    "no normalisation of a decomposed letter": ('"e\u0301"'.encode(), '"e\u0301"'),
    "an escaped backslash before what looks like an escape": (rb'"\\u0041"', '"\\\\u0041"'),
    "HTML characters are not escaped": (b'"<&>\'"', '"<&>\'"'),
    "a NUL inside": (rb'"a\u0000b"', '"a\\u0000b"'),
}
NAMES: Final = {
    "digits sort as text": (b'{"10":1,"9":2,"1":3}', '{"1":3,"10":1,"9":2}'),
    "upper before lower case": (b'{"a":1,"B":2,"A":3}', '{"A":3,"B":2,"a":1}'),
    "the empty name first": (b'{"a":1,"":2}', '{"":2,"a":1}'),
    "a prefix before the longer name": (b'{"ab":1,"a":2}', '{"a":2,"ab":1}'),
    "a name above U+FFFF before U+E000, as UTF-16 has it": (
        '{"\ue000":1,"\U00010000":2}'.encode(),
        '{"\U00010000":2,"\ue000":1}',
    ),
    "names compared after unescaping": (rb'{"b":1,"\u0061":2}', '{"a":2,"b":1}'),
    "composed and decomposed are two names": (
        '{"\u00e9":1,"e\u0301":2}'.encode(),
        '{"e\u0301":2,"\u00e9":1}',
    ),
    "inner objects too, arrays not": (
        b'{"b":[{"d":1,"c":2},3,1],"a":{"z":1,"y":2}}',
        '{"a":{"y":2,"z":1},"b":[{"c":2,"d":1},3,1]}',
    ),
    "names that are special to some languages": (
        b'{"toString":1,"__proto__":2,"constructor":3}',
        '{"__proto__":2,"constructor":3,"toString":1}',
    ),
    "an escaped quote and a space in names": (rb'{"a b":1,"\"":2}', '{"\\"":2,"a b":1}'),
}
WHITE_SPACE: Final = {
    "all four characters": (b'\t{ "a" :\r\n[ 1 , 2 ]\n} ', '{"a":[1,2]}'),
    "inside a string it is kept": (b' " a  b " ', '" a  b "'),
    "none at all": (b'{"a":[1,2]}', '{"a":[1,2]}'),
}
STRUCTURES: Final = {
    "an empty object": (b"{ }", "{}"),
    "an empty array": (b"[ ]", "[]"),
    "null": (b"null", "null"),
    "true": (b"true", "true"),
    "false": (b"false", "false"),
    "a string": (b'"a"', '"a"'),
    "empty things inside": (b'{"b":{},"a":[[],{}]}', '{"a":[[],{}],"b":{}}'),
    "64 open arrays": (b"[" * 64 + b"]" * 64, "[" * 64 + "]" * 64),
    "32 objects and 32 arrays in turn": (
        b'[{"a":' * 31 + b"[{}]" + b"}]" * 31,
        '[{"a":' * 31 + "[{}]" + "}]" * 31,
    ),
    "brackets in strings open nothing": (b'["' + b"[{" * 40 + b'"]', '["' + "[{" * 40 + '"]'),
}


def canonical_file() -> VectorFile:
    """Return the cases of ``canonical.json``."""
    made = VectorFile(
        name="canonical",
        algorithm="RFC 8785 canonical bytes of strict JSON, depth at most 64",
        specification="specs/pcs.md, sections 1.1 and 2",
        notes=NOTES,
    )

    def add(comment: str, flag: str, document: bytes, canonical: str) -> None:
        given = {"document": document.hex()}
        made.valid(comment, flag, given, canonical=canonical.encode().hex())

    add("primitive types", "Rfc8785Example", RFC8785_3_2_2, RFC8785_3_2_2_CANONICAL)
    add("sorting of names", "Rfc8785Example", RFC8785_3_2_3, RFC8785_3_2_3_CANONICAL)
    for bits, text in APPENDIX_B.items():
        (double,) = struct.unpack(">d", bytes.fromhex(bits))
        # 17 digits name the double; the sign of a zero has no place in a JSON value.
        expected = [{"text": text, "bits": "0" * 16 if double == 0 else bits}]
        made.valid(
            f"the double {bits}",
            "Rfc8785AppendixB",
            {"document": f"{double:.17e}".encode().hex()},
            canonical=text.encode().hex(),
            numbers=expected,
        )
    add("an object", "Rfc8259Example", RFC8259_IMAGE, RFC8259_IMAGE_CANONICAL)
    add("an array", "Rfc8259Example", RFC8259_CITY, RFC8259_CITY_CANONICAL)
    for literal, text in NUMBERS.items():
        add(literal, "NumberText", literal.encode(), text)
        if literal in {"-0", "1.0", "1e21", "0.1"}:
            add(f"{literal} in an array", "NumberText", f"[{literal}]".encode(), f"[{text}]")
    for flag, table in (
        ("StringText", STRINGS),
        ("NameOrder", NAMES),
        ("WhiteSpace", WHITE_SPACE),
        ("Structure", STRUCTURES),
    ):
        for comment, (document, canonical) in table.items():
            add(comment, flag, document, canonical)
    return made
