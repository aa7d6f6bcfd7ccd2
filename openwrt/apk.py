"""Writes a package in the format of apk-tools 3 (see apk-v3(5)), unsigned.

Usage: apk.py TREE OUTPUT SCRIPTS KEY=VALUE...

TREE is what gets installed, all of it root's; SCRIPTS a directory of scripts named as apk calls them. KEY=VALUE are the
package's fields. SOURCE_DATE_EPOCH is the time of every file. The same input gives the same bytes.
"""

import hashlib
import os
import struct
import sys
import zlib

# The fields of each kind of object, in the order of their slots.
PACKAGE = ("info", "paths", "scripts")
INFO = ("name", "version", "hashes", "description", "arch", "license", "origin", "maintainer", "url", "repo-commit",
        "build-time", "installed-size", "file-size", "provider-priority", "depends")
DEPENDENCY = ("name",)
DIRECTORY = ("name", "acl", "files")
FILE = ("name", "acl", "size", "mtime", "hashes")
ACL = ("mode", "user", "group")
SCRIPTS = ("trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade")

# The types of values, in the upper four bits of a word; the rest is the number itself or where it stands.
INT, INT32, BLOB8, BLOB16, BLOB32, ARRAY, OBJECT = (n << 28 for n in (0x1, 0x2, 0x8, 0x9, 0xA, 0xD, 0xE))
ADB_BLOCK, DATA_BLOCK = 0, 2
IDENTITY_LENGTH = 20


class Database:
    """A tree of values, written leaves first. Equal values are written once."""

    def __init__(self):
        # Versions 0, and the root that comes last.
        self.content = bytearray(8)
        self.known = {}

    def _put(self, data, alignment):
        place = self.known.get((data, alignment))
        if place is None:
            self.content += bytes(-len(self.content) % alignment)
            place = self.known[data, alignment] = len(self.content)
            self.content += data
        return place

    def number(self, value):
        if value < 1 << 28:
            return INT | value
        return INT32 | self._put(struct.pack("<I", value), 4)

    def blob(self, data):
        if not data:
            return 0
        for kind, form, limit in ((BLOB8, "<B", 1 << 8), (BLOB16, "<H", 1 << 16), (BLOB32, "<I", 1 << 32)):
            if len(data) < limit:
                return kind | self._put(struct.pack(form, len(data)) + data, struct.calcsize(form))
        raise ValueError("too long")

    def text(self, value):
        return self.blob(value.encode())

    def _slots(self, kind, values):
        while values and values[-1] == 0:
            values.pop()
        if not values:
            return 0
        return kind | self._put(struct.pack(f"<{len(values) + 1}I", len(values) + 1, *values), 4)

    def object(self, fields, values):
        return self._slots(OBJECT, [values.get(field, 0) for field in fields])

    def array(self, values):
        return self._slots(ARRAY, list(values))

    def finish(self, root):
        struct.pack_into("<I", self.content, 4, root)


def block(kind, content):
    size = len(content) + 4
    return struct.pack("<I", kind << 30 | size) + content + bytes(-size % 8)


def acl(database, path):
    mode = database.number(os.lstat(path).st_mode & 0o7777)
    root = database.text("root")
    return database.object(ACL, {"mode": mode, "user": root, "group": root})


def directories(tree):
    """The directories below and with `tree`, by name, each with its files."""
    found = []
    for place, _, files in os.walk(tree):
        name = os.path.relpath(place, tree)
        found.append(("" if name == "." else name, sorted(files)))
    return sorted(found)


def package(tree, scripts, fields, time):
    database = Database()
    installed_size, paths, data = 0, [], []
    for path_number, (name, files) in enumerate(directories(tree), 1):
        entries = []
        for file_number, file in enumerate(files, 1):
            path = os.path.join(tree, name, file)
            if os.path.islink(path):
                raise ValueError(f"{path}: links are not supported")
            with open(path, "rb") as opened:
                content = opened.read()
            installed_size += len(content)
            entries.append(database.object(FILE, {
                "name": database.text(file), "acl": acl(database, path), "size": database.number(len(content)),
                "mtime": database.number(time), "hashes": database.blob(hashlib.sha256(content).digest())}))
            if content:
                data.append(block(DATA_BLOCK, struct.pack("<II", path_number, file_number) + content))
        paths.append(database.object(DIRECTORY, {
            "name": database.text(name), "acl": acl(database, os.path.join(tree, name)), "files": database.array(entries)}))
    info = {key: database.text(value) for key, value in fields.items() if key != "depends"}
    names = sorted(fields.get("depends", "").split())
    info["depends"] = database.array(database.object(DEPENDENCY, {"name": database.text(name)}) for name in names)
    info["installed-size"] = database.number(max(installed_size, 1))
    # What tells this package from all others is known when all the rest is written.
    info["hashes"] = database.blob(bytes(IDENTITY_LENGTH))
    identity = (info["hashes"] & 0xFFFFFFF) + 1
    contents = {}
    for name in sorted(os.listdir(scripts)):
        with open(os.path.join(scripts, name), "rb") as opened:
            contents[name] = database.blob(opened.read())
    database.finish(database.object(PACKAGE, {
        "info": database.object(INFO, info), "paths": database.array(paths),
        "scripts": database.object(SCRIPTS, contents)}))
    digest = hashlib.sha256(database.content).digest()
    database.content[identity:identity + IDENTITY_LENGTH] = digest[:IDENTITY_LENGTH]
    return b"ADB.pckg" + block(ADB_BLOCK, bytes(database.content)) + b"".join(data)


def main():
    tree, output, scripts, *fields = sys.argv[1:]
    fields = dict(field.split("=", 1) for field in fields)
    content = package(tree, scripts, fields, int(os.environ["SOURCE_DATE_EPOCH"]))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    with open(output, "wb") as opened:
        opened.write(b"ADBd" + deflate.compress(content) + deflate.flush())


if __name__ == "__main__":
    main()
