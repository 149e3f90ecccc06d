# SPDX-License-Identifier: Apache-2.0
"""A disk kept busy: one file in the page cache, the same for all."""

import os
import tempfile
from pathlib import Path

import driven

DISK_BYTES = 256 << 20
# name: depth, bytes of a request, requests, writes
LOADS = {
    "4 KiB read, depth 1": (1, 4096, 150000, False),
    "4 KiB read, depth 32": (32, 4096, 600000, False),
    "4 KiB write, depth 1": (1, 4096, 60000, True),
    "4 KiB write, depth 32": (32, 4096, 150000, True),
    "1 MiB read, depth 8": (8, 1 << 20, 6000, False),
    "1 MiB write, depth 8": (8, 1 << 20, 3000, True),
}


def commands(options, transport, image, words):
    """Return {program: command}."""
    guest = str(options.build / "tests/guests/bench-disk.elf")
    backend = ["-object", "iothread,id=loop",
               "-drive", f"file={image},format=raw,if=none,id=disk,aio=io_uring,cache=writeback"]
    return {
        "vmm": driven.vmm_command(options, transport, guest, words, ["--disk", str(image)]),
        "QEMU": driven.qemu_command(transport, guest, words, backend, "blk", "drive=disk,iothread=loop"),
    }


def measure(options, transport, image):
    def for_load(load, number):
        depth, size, requests, writes = LOADS[load]
        words = f"depth={depth} bytes={size} requests={requests} write={int(writes)} seed={number + 1}"
        return commands(options, transport, image, words)

    return driven.measure(options, transport, LOADS, for_load)


def disk(options, targets, table):
    found = {}
    with tempfile.TemporaryDirectory(dir=options.build) as folder:
        image = Path(folder, "disk.img")
        # In small pieces, as guests write: a page cache of large folios, which one large write makes, has newer
        # kernels go through the whole folio for each small write, and that would be most of what is measured.
        with open(image, "wb", buffering=0) as stream:
            for _ in range(DISK_BYTES >> 12):
                stream.write(os.urandom(1 << 12))
        for transport in driven.TRANSPORTS:
            found[transport] = measure(options, transport, image)
    driven.print_table(found, table)
    driven.judge(found, targets, lambda load: "MiB" in load)
    return found
