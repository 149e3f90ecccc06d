#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""However much a guest writes, `vmm test` finds what comes last and needs the same memory, and the log has it all.

    run-flood.py VMM GUEST_DIR SCENARIO     prints TAP; skipped where there is no /dev/kvm

VMM_TEST_LONG=1 has the guest write a gigabyte, which takes a minute and as much of the disk.
"""
import os
import subprocess
import sys
import tempfile
import time

LITTLE, MUCH = 4, 1024 if os.environ.get("VMM_TEST_LONG") else 64  # MiB
LINE = 64
MORE_KIB = 8192  # that more output may take: a sanitizer keeps what was freed for a while, which is 2 to 3 MiB now and then


def peak_kib(pid):
    """The most memory that a process has had, 0 when it is gone. getrusage() would tell of this program, too, which was it before."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return max(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, ValueError):
        return 0


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
            return text.read().split()
    except OSError:
        return []


def watch(process):
    """The most memory that vmm and its worker had, both together, until they ended.

    The worker is the greatest of vmm's children: the leak sanitizer looks at a process from a short-lived child of it, which
    shares its memory and is seen now and then."""
    own = worker = 0
    while process.poll() is None:
        own = max(own, peak_kib(process.pid))
        worker = max([worker, *map(peak_kib, children(process.pid))])
        time.sleep(0.01)
    if worker == 0:
        raise AssertionError("no worker was seen")
    return own + worker


def run(vmm, guests, scenario, mib):
    last = "%08x" % (mib * (1 << 20) // LINE - 1)
    with tempfile.TemporaryDirectory() as results:
        command = [vmm, "test", "--set", f"guests={guests}", "--set", f"mib={mib}", "--set", f"last={last}", "--results", results, scenario]
        with open(os.path.join(results, "said"), "w+", encoding="utf-8") as said:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            peak = watch(process)
            if process.returncode != 0:
                said.seek(0)
                raise AssertionError(f"exit code {process.returncode}: {said.read()}")
        logs = [name for name in os.listdir(results) if name.endswith(".hvc0.log")]
        size = os.path.getsize(os.path.join(results, logs[0])) if len(logs) == 1 else None
        if size != mib << 20:
            raise AssertionError(f"the log has {size} bytes: {os.listdir(results)}")
    return peak


def main():
    vmm, guests, scenario = sys.argv[1:]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP /dev/kvm cannot be used here")
        return 0
    print("1..1")
    name = f"memory is the same for {LITTLE} MiB of output and for {MUCH}"
    try:
        little, much = (run(vmm, guests, scenario, mib) for mib in (LITTLE, MUCH))
        if much > little + MORE_KIB:
            raise AssertionError(f"{much} KiB, not {little}")
    except (AssertionError, OSError) as error:
        print(f"not ok 1 - {name}\n# {error}")
        return 1
    print(f"ok 1 - {name}\n# {little} and {much} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
