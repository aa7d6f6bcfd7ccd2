"""Compiles a translation to the form LuCI reads: texts, then an index of them by the hash of the original.

Usage: po2lmo.py FILE.po FILE.lmo
"""

import re
import struct
import sys

MASK = 0xFFFFFFFF


def signed(byte):
    return byte - 256 if byte > 127 else byte


def hash_of(data):
    """Paul Hsieh's SuperFastHash with its length as the seed."""
    value = len(data)
    if not value:
        return 0
    whole = len(data) // 4 * 4
    for first, second in struct.iter_unpack("<HH", data[:whole]):
        value = (value + first) & MASK
        value = (value << 16 ^ second << 11 ^ value) & MASK
        value = (value + (value >> 11)) & MASK
    rest = data[whole:]
    if len(rest) == 1:
        value = (value + signed(rest[0])) & MASK
        value = (value ^ value << 10) & MASK
        value = (value + (value >> 1)) & MASK
    elif rest:
        value = (value + struct.unpack("<H", rest[:2])[0]) & MASK
        value = (value ^ value << (11 if len(rest) == 2 else 16)) & MASK
        if len(rest) == 3:
            value = (value ^ signed(rest[2]) << 18) & MASK
        value = (value + (value >> (17 if len(rest) == 2 else 11))) & MASK
    for shift, back in ((3, 5), (4, 17), (25, 6)):
        value = (value ^ value << shift) & MASK
        value = (value + (value >> back)) & MASK
    return value


def messages(lines):
    """The entries of a .po file: by keyword, such as `msgid` or `msgstr[1]`, what it says."""
    entry, keyword = {}, None
    for line in lines:
        found = re.match(r'(?:(msg\S+)\s+)?"(.*)"\s*$', line)
        if not found:
            continue
        if found[1] in ("msgctxt", "msgid") and "msgid" in entry:
            yield entry
            entry = {}
        keyword = found[1] or keyword
        # Other escapes are LuCI's business.
        entry[keyword] = entry.get(keyword, "") + re.sub(r'\\(["\\])', r"\1", found[2])
    if entry:
        yield entry


def translated(entry):
    """The pairs of an original as LuCI asks for it and its translation."""
    original = entry["msgid"]
    if "msgctxt" in entry:
        original = entry["msgctxt"] + "\1" + original
    for keyword, text in entry.items():
        number = re.fullmatch(r"msgstr(?:\[(\d)\])?", keyword)
        if number and text:
            yield original if number[1] is None else f"{original}\2{number[1]}", text


def compiled(lines):
    texts, index = bytearray(), []

    def add(key, count, text):
        index.append((key, count, len(texts), len(text)))
        texts.extend(text + bytes(-len(text) % 4))

    for entry in messages(lines):
        if not entry["msgid"]:
            form = re.search(r"Plural-Forms: (.*?)\\n", entry["msgstr"])
            if form:
                add(0, 0, form[1].encode())
            continue
        pairs = list(translated(entry))
        for original, text in pairs:
            if original != text:
                add(hash_of(original.encode()), len(pairs), text.encode())
    words = b"".join(struct.pack(">IIII", *row) for row in sorted(index))
    return bytes(texts) + words + struct.pack(">I", len(texts))


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as lines:
        content = compiled(lines)
    with open(target, "wb") as opened:
        opened.write(content)


if __name__ == "__main__":
    main()
