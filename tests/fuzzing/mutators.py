"""Ways to damage a file: blindly in its bytes, or knowingly in the numbers of its format. All follow from a generator alone.

A mutator takes a generator and the bytes of a file and returns other bytes; one that does not fit returns them unchanged.
"""

import json
import re
import struct
import zlib

ODD_NUMBERS = (0, 1, 2, 3, 7, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
ODD_VALUES = (None, True, 0, -1, 1e308, float("nan"), 10**30, "", "x" * 300, "../x", "=1+1", "\ud800", [], {}, [[]], {"a": {}})
ODD_FIELDS = (
    "",
    "nan",
    "inf",
    "-1",
    "1e999",
    "TRUE",
    "x" * 200_000,
    '"',
    "=1+1",
    "\x00",
    "1;2",
    "0x10",
    "\N{GREEK SMALL LETTER MU}",
)


def flip(rng, data):
    """Turn some bits."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng, data):
    """Cut the end off, anywhere, or only a little of it."""
    return data[: rng.choice([rng.randrange(len(data) + 1), max(0, len(data) - rng.randint(1, 64))])]


def splice(rng, data):
    """Copy a piece over another place."""
    if len(data) < 8:
        return data
    length = rng.randint(1, max(1, len(data) // 4))
    source, target = rng.randrange(len(data)), rng.randrange(len(data))
    return data[:target] + data[source : source + length] + data[target + length :]


def remove(rng, data):
    """Take a piece out."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice([1, 4, 100, 1000]) :]


def insert(rng, data):
    """Put noise or zeros in between."""
    start, length = rng.randrange(len(data) + 1), rng.choice([1, 4, 100, 1000])
    return data[:start] + rng.choice([bytes(length), rng.randbytes(length)]) + data[start:]


def overwrite(rng, data):
    """Write zeros, ones or noise over a piece."""
    length = min(len(data), rng.choice([1, 16, 256, 4096]))
    start = rng.randrange(len(data) - length + 1)
    return data[:start] + rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)]) + data[start + length :]


def number(rng, data):
    """Write an odd number of two, four or eight bytes somewhere."""
    length, order = rng.choice([2, 4, 8]), rng.choice(["little", "big"])
    if len(data) < length:
        return data
    start = rng.randrange(len(data) - length + 1)
    value = rng.choice(ODD_NUMBERS) % 256**length
    return data[:start] + value.to_bytes(length, order) + data[start + length :]


BLIND = (flip, truncate, splice, remove, insert, overwrite, number)


def png_chunk(rng, data):
    """Change a chunk of a PNG and make its checksum right again, drop it, or repeat it."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks or not data.startswith(b"\x89PNG"):
        return data
    index = rng.randrange(len(chunks))
    kind, content = chunks[index]
    changed = rng.choice(BLIND)(rng, content) if content else rng.randbytes(4)
    chunks[index : index + 1] = rng.choice([[(kind, changed)], [(kind, changed)], [], [(kind, content)] * 2])
    parts = [struct.pack(">I", len(body)) + head + body + struct.pack(">I", zlib.crc32(head + body)) for head, body in chunks]
    return data[:8] + b"".join(parts)


def jpeg_marker(rng, data):
    """Change what follows a marker of a JPEG, alone or in a tile: the size of its frame, its tables, its end."""
    places = [match.start() for match in re.finditer(rb"\xff[\xc0-\xc4\xd8-\xdb\xdd\xe0-\xe1]", data)]
    if not places:
        return data
    at = rng.choice(places) + rng.choice([0, 1, 2, 3, 5, 7])
    new = rng.choice([b"\xff\xd9", bytes(2), b"\xff\xff", rng.randbytes(2)])
    return data[:at] + new + data[at + 2 :]


def tiff_tag(rng, data):
    """Change the code, the type, the count or the value of a tag of a TIFF, or where its directory goes on."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    entries = _entries(data, order) if order else []
    if not entries:
        return data
    start = rng.choice(entries)
    offset, form = rng.choice([(0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "I"), (8, "H")])
    (old,) = struct.unpack_from(order + form, data, start + offset)
    top = 256 ** struct.calcsize(form)
    new = rng.choice([rng.choice(ODD_NUMBERS), old + 1, old - 1, old * 2, rng.randrange(top), rng.randrange(len(data))]) % top
    changed = bytearray(data)
    struct.pack_into(order + form, changed, start + offset, new)
    return bytes(changed)


def _entries(data, order):
    """Return where the entries of all directories of a classic TIFF start."""
    found, seen = [], set()
    (at,) = struct.unpack_from(order + "I", data, 4) if len(data) > 8 else (0,)
    while 8 <= at <= len(data) - 2 and at not in seen:
        seen.add(at)
        (count,) = struct.unpack_from(order + "H", data, at)
        found += [start for start in range(at + 2, at + 2 + 12 * count, 12) if start + 12 <= len(data)]
        end = at + 2 + 12 * count
        (at,) = struct.unpack_from(order + "I", data, end) if end + 4 <= len(data) else (0,)
    return found


def json_value(rng, data):
    """Delete, repeat or replace a value of a JSON document."""
    try:
        document = json.loads(data)
    except ValueError:
        return data
    places = list(_places(document))
    if not places:
        return data
    for _ in range(rng.choice([1, 1, 1, 3])):
        holder, key = rng.choice(places)
        _change(rng, holder, key)
    return json.dumps(document).encode()


def _places(node):
    """Yield each (list or dict, index or key) of a document."""
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, value in pairs:
        yield node, key
        yield from _places(value)


def _change(rng, holder, key):
    if (isinstance(holder, list) and key >= len(holder)) or (isinstance(holder, dict) and key not in holder):
        return  # an earlier change took it
    way = rng.choice(["delete", "odd", "odd", "scale", "repeat"])
    if way == "delete":
        del holder[key]
    elif way == "scale" and isinstance(holder[key], int | float):
        holder[key] = holder[key] * rng.choice([-1, 0, 1e-9, 1e9])
    elif way == "repeat" and isinstance(holder, list):
        holder.extend([holder[key]] * 20)
    else:
        holder[key] = rng.choice(ODD_VALUES)


def table_row(rng, data):
    """Delete, repeat or swap lines of a table, or replace one of its fields."""
    lines = data.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    if not lines:
        return data
    index, way = rng.randrange(len(lines)), rng.choice(["delete", "repeat", "swap", "field", "field", "field", "separator"])
    if way == "delete":
        del lines[index]
    elif way == "repeat":
        lines.insert(index, lines[index])
    elif way == "swap":
        other = rng.randrange(len(lines))
        lines[index], lines[other] = lines[other], lines[index]
    elif way == "field":
        fields = lines[index].rstrip("\r\n").split(",")
        fields[rng.randrange(len(fields))] = rng.choice(ODD_FIELDS)
        lines[index] = ",".join(fields) + "\n"
    else:
        lines[index] = lines[index].replace(",", ";")
    return "".join(lines).encode("utf-8", "surrogateescape")


def setting(rng, data):
    """Give a key of a file of settings another value or another name."""
    text = data.decode("utf-8", "replace")
    found = list(re.finditer(r"^ *(\w+)( *[=:] *)(.+)$", text, re.MULTILINE))
    if not found:
        return data
    match = rng.choice(found)
    odd = rng.choice(["-1", "0", "nan", "inf", "1e999", "1" * 400, '"x"', "[]", "true", "{a=1}", "[[1]]", "1979-05-27", ""])
    name, value = rng.choice([(match[1], odd), (match[1], odd), (match[1] + "s", match[3])])
    return (text[: match.start()] + f"{name}{match[2]}{value}" + text[match.end() :]).encode()
