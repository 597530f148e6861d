"""Reads what a cubin says of its kernels. Standard library only."""

import struct

PARAM_CBANK = 0x0A
SIZED_VALUE = 4


def sections(data):
    """(name, type, bytes, link) of each section of a 64-bit little-endian ELF file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    table, size, count, names = (
        struct.unpack_from("<Q", data, 0x28)[0],
        *struct.unpack_from("<HHH", data, 0x3A),
    )
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + at * size) for at in range(count)]
    strings = data[headers[names][4] : headers[names][4] + headers[names][5]]
    found = []
    for header in headers:
        body = b"" if header[1] == 8 else data[header[4] : header[4] + header[5]]
        found.append((text_at(strings, header[0]), header[1], body, header[6]))
    return found


def text_at(strings, offset):
    return strings[offset : strings.index(b"\0", offset)].decode()


def entry_points(data):
    """Names of global functions: what cuModuleGetFunction finds."""
    found = set()
    all_sections = sections(data)
    for _, kind, body, link in all_sections:
        if kind != 2:
            continue
        strings = all_sections[link][2]
        for at in range(0, len(body), 24):
            name, info, _, section = struct.unpack_from("<IBBH", body, at)
            if info & 15 == 2 and section != 0:
                found.add(text_at(strings, name))
    return found


def arguments(data):
    """(start, bytes) of all arguments of each kernel: where they lie in the constant bank."""
    found = {}
    for name, _, body, _ in sections(data):
        if not name.startswith(".nv.info."):
            continue
        at = 0
        while at + 4 <= len(body):
            form, attribute, size = struct.unpack_from("<BBH", body, at)
            if form == SIZED_VALUE:
                if attribute == PARAM_CBANK:
                    found[name[len(".nv.info.") :]] = struct.unpack_from("<IHH", body, at + 4)[1:]
                at += 4 + size
            else:
                at += 4
    return found
