#!/usr/bin/env python3
"""Reads a snapshot: an independent reader of docs/snapshot-format.md.

    read_snapshot.py FOLDER             checks all but the layers' structure, prints the RAM's SHA-256
    read_snapshot.py FOLDER -o FILE     also writes the RAM to FILE, holes for zeros
    read_snapshot.py FOLDER --map       prints the map instead: a line for each extent
    read_snapshot.py FOLDER --manifest  checks the manifest alone and prints it

Exits with 1 and says why when the snapshot is damaged. A folder without a manifest is none, but its
memory is read all the same.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import stat
import struct
import sys

PAGE = 4096
CHUNK = 1 << 20
NONE = 0xFFFFFFFF
MAX_BYTES = 1 << 44
NAME = re.compile(rb"memory-[a-z0-9]{20}")
FORMAT = 1
MAX_MANIFEST = 1 << 20
HASH = "[a-z0-9-]{1,64}"
SHA256 = "[0-9a-f]{64}"
# Of the manifest's members: a pattern for a text, the bounds of a number, or a type; and the default
# of one that may be absent.
MEMBERS = {
    "id": ("sn-[a-z0-9]{20}",),
    "sandbox": ("sb-[a-z0-9]{20}",),
    "parent": ("(sn-[a-z0-9]{20})?", ""),
    "created_at": (".+",),
    "engine": (".+",),
    "fingerprint": (dict,),
    "vcpus": ((1, 4096),),
    "memory_mb": ((1, 1 << 24),),
    "disk_mb": ((0, (1 << 31) - 1), 0),
    "egress": (bool, False),
    "network": (dict, {}),
    "kernel": (HASH,),
    "image": (HASH,),
    "template_name": (".*", ""),
    "template_id": (".*", ""),
    "agent_token": (".*", ""),
    "state_sha256": (SHA256,),
    "memory_map_sha256": (SHA256,),
    "layers": (list,),
    "layer_digests": (dict, {}),
    "layer_bytes": (dict, {}),
    "sizes": (dict, {}),
}
BYTES = ((0, (1 << 63) - 1), 0)
SIZES = {name: BYTES for name in ("state", "memory", "disk")}
LAYER = re.compile(r"disk-[a-z0-9]{20}\.(qcow2|raw|cow)")


class Damaged(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Damaged(what)


def whole_number(value):
    """The number that a JSON value stands for, or None."""
    if isinstance(value, str) and re.fullmatch("-?[0-9]+", value):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) <= 9e15:
        return int(value)
    return value if type(value) is int else None


class Manifest:
    """manifest.json. members: its content, with the defaults of what is absent."""

    def __init__(self, data):
        need(len(data) <= MAX_MANIFEST, "manifest.json is too large")
        try:
            content = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise Damaged(f"manifest.json is no JSON: {error}") from error
        need(isinstance(content, dict), "manifest.json is no object")
        version = whole_number(content.get("format"))
        need(version is not None and version > 0, "manifest.json has no format")
        need(version == FORMAT, f"the snapshot has format {version}, this reader knows {FORMAT}")
        self.members = {name: self.read(content, name, *rule) for name, rule in MEMBERS.items()}
        self.members["sizes"] = {name: self.read(self.members["sizes"], name, *rule)
                                 for name, rule in SIZES.items()}
        try:
            datetime.datetime.strptime(self.members["created_at"], "%Y-%m-%dT%H:%M:%S.%fZ")
        except ValueError as error:
            raise Damaged(f"created_at: {error}") from error
        self.check_layers(self.members["layers"])
        for layer, digest in self.members["layer_digests"].items():
            need(layer in self.members["layers"] and isinstance(digest, str) and
                 re.fullmatch(SHA256, digest), "layer_digests is bad")
        lengths = self.members["layer_bytes"]
        need(set(lengths) <= set(self.members["layers"]), "layer_bytes is bad")
        self.members["layer_bytes"] = {layer: self.read(lengths, layer, *BYTES) for layer in lengths}

    @staticmethod
    def read(content, name, rule, *default):
        value = content.get(name)
        if value is None:
            need(default, f"{name} is missing")
            return default[0]
        if isinstance(rule, str):
            need(isinstance(value, str) and re.fullmatch(rule, value, re.DOTALL), f"{name} is bad")
        elif isinstance(rule, tuple):
            value = whole_number(value)
            need(value is not None and rule[0] <= value <= rule[1], f"{name} is bad")
        else:
            need(isinstance(value, rule), f"{name} is bad")
        return value

    @staticmethod
    def check_layers(layers):
        need(0 < len(layers) <= 256, "a disk has 1 to 256 layers")
        for layer in layers:
            need(isinstance(layer, str) and LAYER.fullmatch(layer), "a layer has a bad name")
        need(len(set(layers)) == len(layers), "a layer is there twice")
        need(not any(layer.endswith(".raw") for layer in layers[:-1]),
             "a raw layer has a layer below it")
        need(len(layers) == 1 or not any(layer.endswith(".cow") for layer in layers),
             "a file of changes is not the only layer")

    def check_files(self, folder, ram_map):
        for name, member in (("state", "state_sha256"), ("memory.map", "memory_map_sha256")):
            with open(os.path.join(folder, name), "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            need(digest == self.members[member], f"{name} has a wrong digest")
        need(ram_map.size == self.members["memory_mb"] << 20, "memory.map is of another size")
        for layer in self.members["layers"]:
            info = os.lstat(os.path.join(folder, layer))
            need(stat.S_ISREG(info.st_mode) and info.st_size > 0, f"{layer} is no file of a disk")
            need(self.members["layer_bytes"].get(layer, info.st_size) == info.st_size,
                 f"{layer} is of another length")
            wanted = self.members["layer_digests"].get(layer)
            if wanted is not None:
                with open_file(folder, layer, info.st_size) as file:
                    need(layer_digest(file, info.st_size) == wanted, f"{layer} is damaged")


class Parts:
    """Takes fixed parts off the front of bytes."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def bytes(self, count):
        need(count <= len(self.data) - self.at, "memory.map is cut off")
        self.at += count
        return self.data[self.at - count:self.at]

    def numbers(self, form):
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))


class Map:
    """memory.map. files: (name, length, [digest]); extents: (offset, length, file, file offset)."""

    def __init__(self, data):
        need(data[:8] == b"wrennmem", "memory.map begins differently")
        parts = Parts(data[:-32])
        parts.bytes(8)
        (version,) = parts.numbers("I")
        need(version == 1, f"memory.map has version {version}, this reader knows 1")
        need(hashlib.sha256(data[:-32]).digest() == data[-32:], "memory.map has a wrong digest")
        page, chunk, file_count, self.base, reserved = parts.numbers("IIIII")
        need((page, chunk, reserved) == (PAGE, CHUNK, 0), "memory.map has other units")
        self.size, extent_count = parts.numbers("QQ")
        need(0 < self.size <= MAX_BYTES and self.size % PAGE == 0, "the size of RAM is bad")
        self.read_files(parts, file_count)
        self.read_extents(parts, extent_count)
        need(parts.at == len(parts.data), "memory.map has bytes too many")

    def read_files(self, parts, count):
        need(count <= 65535, "too many files")
        heads = []
        for _ in range(count):
            name, length = parts.numbers("32sQ")
            name = name.rstrip(b"\0")
            need(NAME.fullmatch(name), "a file has a bad name")
            need(0 < length <= MAX_BYTES and length % PAGE == 0, "a file has a bad length")
            heads.append((name.decode(), length))
        need(len({name for name, _ in heads}) == count, "a file is there twice")
        self.files = [(name, length, [parts.bytes(32) for _ in range(-(-length // CHUNK))])
                      for name, length in heads]
        need(self.base == NONE or self.base < count and heads[self.base][1] == self.size,
             "the base is no file of the size of RAM")

    def read_extents(self, parts, count):
        self.extents = []
        offset = 0
        used = {self.base}
        before = None
        for _ in range(count):
            pages, file, file_page = parts.numbers("IIQ")
            length, file_offset = pages * PAGE, file_page * PAGE
            need(length > 0, "an extent is empty")
            if file == NONE:
                need(file_offset == 0, "an extent of zeros has an offset in a file")
            else:
                need(file < len(self.files), "an extent is in no file")
                need(file_offset + length <= self.files[file][1], "an extent ends beyond its file")
                used.add(file)
            need((file, file_offset) != before, "two extents should be one")
            self.extents.append((offset, length, file, file_offset))
            offset += length
            before = (file, 0 if file == NONE else file_offset + length)
        need(offset == self.size, "the extents do not end where RAM ends")
        need(used >= set(range(len(self.files))), "a file is not used")


def open_file(folder, name, length):
    """Opens a file of the snapshot for reading; it must be a plain file of this length."""
    try:
        fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Damaged(f"{name}: {error.strerror}") from error
    file = os.fdopen(fd, "rb", buffering=0)
    info = os.fstat(fd)
    need(stat.S_ISREG(info.st_mode) and info.st_size == length, f"{name} is not {length} bytes long")
    return file


def read_at(file, offset, length):
    data = b""
    while len(data) < length:
        part = os.pread(file.fileno(), length - len(data), offset + len(data))
        need(part, "a file is cut off")
        data += part
    return data


def check_digests(name, file, length, digests):
    for number, wanted in enumerate(digests):
        data = read_at(file, number * CHUNK, min(CHUNK, length - number * CHUNK))
        right = not any(data) if wanted == bytes(32) else hashlib.sha256(data).digest() == wanted
        need(right, f"chunk {number} of {name} is damaged")


def layer_digest(file, length):
    digest = hashlib.sha256(struct.pack("<Q", length))
    for at in range(0, length, CHUNK):
        data = read_at(file, at, min(CHUNK, length - at))
        digest.update(hashlib.sha256(data).digest() if any(data) else bytes(32))
    return digest.hexdigest()


def read_ram(ram_map, files, take):
    """Calls take(offset, bytes) for all of RAM in pieces, from 0 on."""
    for offset, length, file, file_offset in ram_map.extents:
        for at in range(0, length, CHUNK):
            count = min(CHUNK, length - at)
            data = bytes(count) if file == NONE else read_at(files[file], file_offset + at, count)
            take(offset + at, data)


def print_map(ram_map):
    for offset, length, file, file_offset in ram_map.extents:
        place = "zeros" if file == NONE else f"{ram_map.files[file][0]} {file_offset}"
        print(offset, length, place)


def read_manifest(folder):
    with open(os.path.join(folder, "manifest.json"), "rb") as file:
        return Manifest(file.read(MAX_MANIFEST + 1))


def main():
    arguments = argparse.ArgumentParser(description="reads a snapshot")
    arguments.add_argument("folder")
    arguments.add_argument("-o", "--output", help="write the RAM to this new file")
    arguments.add_argument("--map", action="store_true", help="print the map and do nothing else")
    arguments.add_argument("--manifest", action="store_true", help="read the manifest alone")
    options = arguments.parse_args()
    if options.manifest:
        print(json.dumps(read_manifest(options.folder).members, sort_keys=True))
        return
    with open(os.path.join(options.folder, "memory.map"), "rb") as file:
        ram_map = Map(file.read())
    if options.map:
        print_map(ram_map)
        return
    if os.path.lexists(os.path.join(options.folder, "manifest.json")):
        read_manifest(options.folder).check_files(options.folder, ram_map)
    files = [open_file(options.folder, name, length) for name, length, _ in ram_map.files]
    for file, (name, length, digests) in zip(files, ram_map.files):
        check_digests(name, file, length, digests)
    digest = hashlib.sha256()
    if options.output:
        with open(options.output, "xb") as output:
            output.truncate(ram_map.size)

            def take(offset, data):
                digest.update(data)
                if any(data):
                    output.seek(offset)
                    output.write(data)

            read_ram(ram_map, files, take)
    else:
        read_ram(ram_map, files, lambda _, data: digest.update(data))
    print(digest.hexdigest())


if __name__ == "__main__":
    try:
        main()
    except (Damaged, OSError) as failure:
        print(f"read_snapshot: {failure}", file=sys.stderr)
        sys.exit(1)
