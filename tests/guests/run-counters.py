#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What vmm's report says of a disk's work is what the guest says of it.

    run-counters.py VMM GUEST_DIR     prints TAP; skipped where there is no /dev/kvm
"""
import json
import os
import re
import subprocess
import sys
import tempfile

SECONDS = 60
REQUESTS = 2000
HEADER, STATUS = 16, 1  # of each request, virtio 1.2 section 5.2.6


def run(vmm, guests, folder, transport, write, size):
    """The report's disk0, and how often the guest says that it has kicked."""
    report, disk = os.path.join(folder, "report.json"), os.path.join(folder, "disk")
    with open(disk, "wb") as image:
        image.truncate(16 << 20)
    words = "depth=32 bytes=%d requests=%d write=%d off=1" % (size, REQUESTS, write)
    done = subprocess.run([vmm, "--kernel", os.path.join(guests, "bench-disk.elf"), "--mem", "128M", "--cmdline", words, "--disk", disk, "--transport", transport, "--rng", "--json", report],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    kicks = re.search(rb"done %d [0-9a-f]+ (\d+)" % REQUESTS, done.stdout)
    if done.returncode != 0 or kicks is None:
        raise AssertionError("exit code %d: %r %r" % (done.returncode, done.stdout, done.stderr))
    with open(report) as text:
        devices = json.load(text)["devices"]
    idle = {key: 0 for key in ("requests", "bytes_from_guest", "bytes_to_guest", "kicks", "interrupts")}
    if [device["name"] for device in devices] != ["disk0", "rng0"] or devices[1] != {"name": "rng0", "kind": "rng", **idle}:
        raise AssertionError(devices)
    return devices[0], int(kicks[1])


def check(vmm, guests, transport, write, size):
    with tempfile.TemporaryDirectory() as folder:
        disk, kicks = run(vmm, guests, folder, transport, write, size)
    want = {
        "name": "disk0",
        "kind": "disk",
        "requests": REQUESTS,
        "bytes_from_guest": REQUESTS * (HEADER + (size if write else 0)),
        "bytes_to_guest": REQUESTS * (STATUS + (0 if write else size)),
        "kicks": kicks,
        "interrupts": 0,  # the guest polls
    }
    if disk != want:
        raise AssertionError("%r, not %r" % (disk, want))


def main():
    vmm, guests = sys.argv[1:]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP /dev/kvm cannot be used here")
        return 0
    cases = [(transport, write, size) for transport in ("pci", "mmio") for write, size in ((0, 4096), (1, 4096), (0, 65536))]
    failed = 0
    print("1..%d" % len(cases))
    for number, case in enumerate(cases, 1):
        try:
            check(vmm, guests, *case)
            print("ok %d - %s write=%d bytes=%d" % (number, *case))
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            failed += 1
            print("not ok %d - %s write=%d bytes=%d\n# %s" % (number, *case, error))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
