# SPDX-License-Identifier: Apache-2.0
"""A module that turns interrupts off and loops, for kernels we have no headers and no compiler for.

Ring 3 cannot do it (Linux emulates iopl, so `cli` faults), and building a module would need the headers of each
kernel. So a small stock module is taken and the first instructions of its init function are overwritten with
`cli; jmp .`. Its signature no longer fits and is cut off: a kernel without lockdown takes unsigned modules.
"""

import struct

CLI_AND_LOOP = b"\xfa\xeb\xfe"
SIGNED = b"~Module signature appended~\n"
DONOR = "nlmon"  # no dependencies, and nothing to relocate in the bytes that are replaced


def _sections(elf):
    start, size, count = (struct.unpack_from("<Q", elf, 0x28)[0], *struct.unpack_from("<HH", elf, 0x3A))
    return [struct.unpack_from("<IIQQQQIIQQ", elf, start + index * size) for index in range(count)]


def _find_symbol(elf, wanted):
    """Return the file offset of a symbol's first byte."""
    sections = _sections(elf)
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, 24):
            name, _, _, section, value = struct.unpack_from("<IBBHQ", elf, at)
            text = elf[strings + name : elf.index(b"\0", strings + name)]
            if text == wanted and section:
                return sections[section][4] + value
    raise ValueError(f"the module has no {wanted.decode()}")


def _without_signature(module):
    """Cut off the trailer: the signature, 12 bytes that end with its length, and the mark."""
    if not module.endswith(SIGNED):
        return module
    end = len(module) - len(SIGNED)
    return module[: end - 12 - int.from_bytes(module[end - 4 : end], "big")]


def make(donor):
    """Return the donor module, changed so that loading it never returns."""
    elf = bytearray(_without_signature(donor))
    at = _find_symbol(elf, b"init_module")
    if elf[at : at + 4] == b"\xf3\x0f\x1e\xfa":  # endbr64
        at += 4
    if elf[at] == 0xE8:  # call __fentry__, which ftrace checks and replaces at load time
        at += 5
    elf[at : at + len(CLI_AND_LOOP)] = CLI_AND_LOOP
    return bytes(elf)
