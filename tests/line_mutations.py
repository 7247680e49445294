"""Files of JSON Lines with random mistakes, for the fuzzer of the readers."""

from __future__ import annotations

import json
import random

WORDS = (
    "a",
    "red wine",
    "é",
    "x\u2028y",
    "\x85",
    "",
    "日本",
    "{",
    '"',
    "\\",
    "[1]",
    "7",
)
NUMBERS = (
    "0",
    "1",
    "-0",
    "-1",
    "2",
    "9",
    "10",
    "3.0",
    "1e0",
    "30e-1",
    "2.5",
    "-1.0",
    "1E+0",
    "-2",
    "9.0",
    "00",
    "01",
    "1.",
    ".5",
    "+1",
    "0x1",
    "1e400",
    "-1e400",
    "1e-400",
    "2147483648",
    "9007199254740993",
    "9007199254740992.0",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "9" * 400,
    "1" * 5000,
    "1.00000000000000000001",
    "2.9999999999999996",
    "16777217",
    "16777217.0000000001",
    "0.1",
    "4.1",
    "1e39",
    "3.4028235677973366e38",
    "1e-45",
    "7e-46",
    "1000000.0000001",
    "1000000",
    "-1e-50",
    "5e-324",
    "0.100000001490116119384765625000001",
    "NaN",
    "Infinity",
    "-Infinity",
    "true",
    "null",
)
STRINGS = (
    rb'"\u0061"',
    rb'"\ud800"',
    rb'"\ud83d\ude00"',
    rb'"\udc00\ud800"',
    rb'"\u0000"',
    rb'"\x"',
    b'"\xff"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b'"a\tb"',
    b'"a\x00b"',
    b'"\xe2\x80\xa8"',
    rb'"\/"',
    b'"\\',
    b"'a'",
    b'"a\rb"',
    b'"\x7f"',
    b'"\xef\xbb\xbf"',
)
KEYS = (b'"in0"', b'"in1"', b'"label"', b'"weight"', rb'"\u0069n0"', rb'"\u006Cabel"')
KEYS += (
    b'"in"',
    b'"in00"',
    rb'"in0\u0000"',
    b'"x"',
    b'"IN0"',
    b'"id"',
    b'"embeddings"',
)
BYTES = (
    b"\n",
    b"\r",
    b"\r\n",
    b"\v",
    b"\f",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"\x1c",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xc2\xa0",
    b" ",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"0",
    b"-",
    b".",
    b"e",
    b"//",
    b"\n\n",
    b"\n \r\n",
    b"{}",
    b"null",
    b"\xff\xfe",
    b"\x1f",
    b"\x80",
    b"\xf4\x90\x80\x80",
)
DEPTHS = (3, 150, 198, 199, 200, 201, 300, 2000)


def valid_file(generator: random.Random, door: str) -> bytes:
    """Returns lines that the door accepts."""
    style = generator.choice(("plain", "plain", "spaced", "mixed", "floats", "single"))
    lines = []
    sides = generator.choice((("in0", "in1"), ("in0",), ("in1",)))
    for number in range(generator.choice((1, 2, 3, 5, 8, 20, 60))):
        fields: dict[str, object] = {}
        names = sides if door == "objects" else ("in0", "in1")
        for name in names:
            fields[name] = _value(generator, door, name, style)
        if door not in ("objects", "embeddings"):
            fields["label"] = generator.choice((0, 1, 2, 1))
            if door == "regression" or generator.random() < 0.05:
                fields["label"] = generator.choice((0.5, 1.0, 3, -2.25, 0.1))
            if style == "mixed" and generator.random() < 0.3:
                fields["weight"] = generator.choice((1, 0.5, 2.0))
        if door == "embeddings":
            fields = {"embeddings": [generator.choice((0.5, 1, -2.0)) for _ in "ab"]}
        if style in ("spaced", "mixed") and generator.random() < 0.5:
            fields["id"] = generator.choice((number, "é", {"a": [1, {}]}, None, 1.5))
        items = list(fields.items())
        if style == "mixed":
            generator.shuffle(items)
        separators = (",", ":") if style == "plain" else (", ", ": ")
        ascii_only = generator.random() < 0.5
        lines.append(
            json.dumps(dict(items), separators=separators, ensure_ascii=ascii_only)
        )
    end = "\r\n" if generator.random() < 0.1 else "\n"
    text = end.join(lines) + end * (generator.random() < 0.8)
    return text.encode()


def _value(generator: random.Random, door: str, name: str, style: str) -> object:
    kind = {"text": "text", "any": "any", "both": "text" if name == "in0" else "ids"}
    of_side = kind.get(door, "ids")
    if door == "objects" and generator.random() < 0.1:
        of_side = "any"
    ids: list[object] = [generator.randrange(10) for _ in range(generator.randrange(5))]
    if style == "floats":
        ids = [float(id_) for id_ in ids]  # type: ignore[arg-type]
    if of_side == "ids":
        return ids[0] if ids and style == "single" else ids
    words = [generator.choice(WORDS) for _ in ids]
    if of_side == "any" and generator.random() < 0.7:
        return ids[0] if ids and style == "single" else ids
    return words if generator.random() < 0.5 else " ".join(words)


def mutated(generator: random.Random, data: bytes) -> bytes:
    """Returns a file with a few mistakes, or with none."""
    for _ in range(generator.choice((0, 1, 1, 1, 2, 3))):
        data = generator.choice(_MUTATIONS)(generator, data)
    return data


def _position(generator: random.Random, data: bytes) -> int:
    return generator.randrange(len(data) + 1)


def _insert(generator: random.Random, data: bytes) -> bytes:
    at = _position(generator, data)
    return data[:at] + generator.choice(BYTES) + data[at:]


def _insert_at_end(generator: random.Random, data: bytes) -> bytes:
    ends = [i for i, byte in enumerate(data) if byte in b"\n{}"] or [0]
    at = generator.choice(ends) + generator.randrange(2)
    return data[:at] + generator.choice(BYTES) + data[at:]


def _replace_byte(generator: random.Random, data: bytes) -> bytes:
    at = _position(generator, data)
    return data[:at] + bytes([generator.randrange(256)]) + data[at + 1 :]


def _delete(generator: random.Random, data: bytes) -> bytes:
    at = _position(generator, data)
    return data[:at] + data[at + generator.choice((1, 1, 2, 10)) :]


def _replace_line_ends(generator: random.Random, data: bytes) -> bytes:
    count = generator.choice((1, 2, -1))
    other = (
        b"\r",
        b" ",
        b"",
        b"\v",
        b"\f",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\r\r\n",
        b",\n",
    )
    return data.replace(b"\n", generator.choice(other), count)


def _replace_number(generator: random.Random, data: bytes) -> bytes:
    spots = [i for i, byte in enumerate(data) if byte in b"0123456789"]
    if not spots:
        return data
    at = generator.choice(spots)
    end = at + 1
    while end < len(data) and data[end] in b"0123456789.":
        end += 1
    return data[:at] + generator.choice(NUMBERS).encode() + data[end:]


def _value_text(generator: random.Random) -> bytes:
    if generator.random() < 0.4:
        return generator.choice(STRINGS)
    if generator.random() < 0.3:
        depth = generator.choice(DEPTHS)
        return generator.choice(
            (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth)
        )
    if generator.random() < 0.2:
        return b'"' + b"[{" * 300 + b'"'
    return (
        generator.choice((b"[]", b"{}", b"[1,[2]]", b'{"in0":[1]}', b"[1.0]"))
        if (generator.random() < 0.3)
        else generator.choice(NUMBERS).encode()
    )


def _add_field(generator: random.Random, data: bytes) -> bytes:
    """Adds a field, or a duplicate, at the start or the end of an object."""
    member = generator.choice(KEYS) + b":" + _value_text(generator)
    starts = [i for i, byte in enumerate(data) if byte in b"{"]
    ends = [i for i, byte in enumerate(data) if byte in b"}"]
    if generator.random() < 0.6 and starts:
        at = generator.choice(starts) + 1
        return data[:at] + member + b"," + data[at:]
    if ends:
        at = generator.choice(ends)
        return data[:at] + b"," + member + data[at:]
    return data


def _replace_string(generator: random.Random, data: bytes) -> bytes:
    at = data.find(b'"', _position(generator, data))
    end = data.find(b'"', at + 1)
    if at < 0 or end < 0:
        return data
    new = generator.choice((generator.choice(STRINGS), generator.choice(KEYS)))
    return data[:at] + new + data[end + 1 :]


def _split_or_join_lines(generator: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    i = generator.randrange(len(lines))
    choice = generator.randrange(5)
    if choice == 0:  # an object over two lines
        return (
            data.replace(b",", b",\n", 1)
            if generator.random() < 0.5
            else (data[::-1].replace(b",", b"\n,", 1)[::-1])
        )
    if choice == 1 and i:
        separator = generator.choice((b"", b" ", b",", b"\r"))
        lines[i - 1 : i + 1] = [lines[i - 1] + separator + lines[i]]
    elif choice == 2:
        lines.insert(
            i,
            generator.choice(
                (b"", b" ", b"\r", b"\v", b"\f", b"\t", b"x", b"{}", b"[]")
            ),
        )
    elif choice == 3:
        lines[i] = lines[i] * 2
    else:  # both at once: as many objects as lines
        lines[i] = lines[i].replace(b",", b",\n", 1)
        if len(lines) > i + 2:
            lines[i + 1 : i + 3] = [lines[i + 1] + lines[i + 2]]
    return b"\n".join(lines)


def _other_file(generator: random.Random, data: bytes) -> bytes:
    choice = generator.randrange(4)
    if choice == 0:
        return b"\xef\xbb\xbf" * generator.choice((1, 1, 2)) + data
    if choice == 1:
        return data + data[: _position(generator, data)]
    if choice == 2:
        return data[: _position(generator, data)]
    line = data.split(b"\n")[0]
    return data + line.replace(b"[", b"[" + b"1," * 6000, 1) + b"\n"


_MUTATIONS = (
    *(_insert, _insert_at_end, _insert_at_end, _replace_byte, _delete),
    *(_replace_line_ends, _replace_number, _replace_number, _replace_number),
    *(_add_field, _add_field, _add_field, _replace_string, _split_or_join_lines),
    *(_split_or_join_lines, _other_file),
)
