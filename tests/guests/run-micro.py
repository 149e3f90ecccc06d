#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs vmm with each micro-guest on /dev/kvm and checks exit code and console; prints TAP.

    run-micro.py VMM GUEST_DIR [CASE...]     all cases, or those named (a name or the part of it before a slash)
    run-micro.py --list
"""
import os
import re
import subprocess
import sys
from typing import Callable, NamedTuple, Optional

POWER_OFF, HOST_ERROR, NOT_BOOTABLE, REBOOT, HALT, PANIC = 0, 4, 6, 8, 10, 12
TRIPLE_FAULT, HANG, TIMEOUT, BAD_EXIT = 14, 16, 18, 20
DEBUG_EXIT_PASS = 33

# Longer than the watchdogs below, so that a verdict of its own comes first; and when vmm itself does not end at all.
GUEST_SECONDS = 30
VMM_SECONDS = 90

SANITIZER = re.compile(rb"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")


class Case(NamedTuple):
    """One run: @guest None is the built-in one; @check returns what is wrong with the console, or None."""
    name: str
    guest: Optional[str]
    options: tuple
    code: int
    pattern: bytes = rb""
    stdin: bytes = b""
    check: Optional[Callable] = None
    seconds: int = GUEST_SECONDS


def check_flood(size):
    """Every line of the flood, in order and whole."""
    def check(out):
        letters = bytes(ord("A") + i % 26 for i in range(8, 62))
        want = b"".join(b"%08x" % i + letters + b"\r\n" for i in range(size // 64))
        at = out.find(want[:64])
        if at < 0:
            return "the first line is not there"
        got = out[at:at + len(want)]
        if got != want:
            bad = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
            return "differs at byte %d of %d (line %d)" % (bad, len(want), bad // 64)
        return None
    return check


def check_garbage(out):
    """The bytes arrive as they were sent: what a console shows is not for vmm to change."""
    if bytes(16) + bytes(range(256)) not in out:
        return "the 256 byte values did not arrive unchanged"
    if b"x" * 20000 not in out:
        return "the long line did not arrive whole"
    return None


def smp(cpus):
    return Case("smp/%d" % cpus, "smp", ("--cpus", str(cpus)), POWER_OFF, rb"(?m)^%d of %d CPUs answered" % (cpus, cpus))


def memtop(size, mib):
    # The map leaves out the hole below 1 MiB and what firmware reserves: within 1 MiB of what was asked for.
    kib = b"|".join(b"%d" % k for k in range(mib * 1024 - 1024, mib * 1024 + 1))
    return Case("memtop/" + size, "memtop", ("--mem", size), POWER_OFF, rb"(?m)^(%s) KiB, \d+ places, 0 bad" % kib)


def flood(how, size):
    return Case("flood/" + how, "flood", ("--cmdline", "how=%s bytes=%d" % (how, size)), POWER_OFF,
                check=check_flood(size))


def hello(cpus):
    return Case("hello/%d" % cpus, None, ("--cpus", str(cpus)), POWER_OFF,
                rb"(?s)Hello from a virtual machine\..*KVM.*%d of %d answered.* MiB in .*FACP.*16550A.*Powering off\.\r?\n$"
                % (cpus, cpus))


CASES = [
    hello(1),
    hello(4),
    Case("hello/8M", None, ("--mem", "8M"), POWER_OFF, rb"Powering off"),
    Case("poweroff", "poweroff", (), POWER_OFF),
    Case("reset-i8042", "reset-i8042", ("--on-reboot=exit",), REBOOT),
    Case("reset-cf9", "reset-cf9", ("--on-reboot=exit",), REBOOT),
    Case("reset-acpi", "reset-acpi", ("--on-reboot=exit",), REBOOT),
    Case("reset-acpi/again", "reset-acpi", ("--on-reboot=reboot",), TIMEOUT, seconds=2),
    Case("triple-fault", "triple-fault", (), TRIPLE_FAULT),
    Case("debug-exit", "debug-exit", (), DEBUG_EXIT_PASS),
    Case("bench-first", "bench-first", (), DEBUG_EXIT_PASS),
    # Where KVM interprets ring 0, the watchdog's limit grows by up to a thousand.
    Case("hang", "hang", ("--watchdog=0.005",), HANG),
    Case("halt", "halt", (), HALT),
    Case("panic", "panic", (), PANIC),
    Case("console-panic", "console-panic", (), PANIC, rb"Kernel panic - not syncing: test"),
    Case("console-lies", "console-lies", (), PANIC, rb"(?m)^done"),
    Case("console-lies/again", "console-lies", ("--on-reboot=reboot",), PANIC, rb"(?m)^done"),
    Case("spin", "spin", ("--watchdog=0.002",), TIMEOUT, seconds=4),
    Case("bad-exit", "bad-exit", (), BAD_EXIT),
    Case("echo", "echo", (), POWER_OFF, rb"(?s)> hi\^Cthere\r\nline: hithere\r\n> " + b"y" * 150 + rb"\r\nline: " +
         b"y" * 150 + rb"\r\n> quit", stdin=b"hi\x03there\r" + b"y" * 150 + b"\rquit\r"),
    flood("string", 1 << 16),
    flood("byte", 1 << 16),
    flood("polled", 1 << 16),
    Case("garbage", "garbage", (), POWER_OFF, rb"\r\ndone\r\n", check=check_garbage),
    smp(1),
    smp(2),
    smp(16),
    smp(64),
    memtop("8M", 8),
    memtop("512M", 512),
    memtop("3G", 3072),
    memtop("4G", 4096),
    memtop("16G", 16384),
    Case("hammer", "hammer", (), TIMEOUT, rb"hammer: seed 1, round [1-9]", seconds=10),
    Case("hammer/seed", "hammer", ("--cmdline", "seed=20", "--mem", "5G"), TIMEOUT, rb"hammer: seed 20, round [1-9]",
         seconds=10),
]


def run(case, vmm, guests):
    """Returns the list of what is wrong, empty when nothing is."""
    argv = [vmm]
    if case.guest is not None:
        argv += ["--kernel", os.path.join(guests, case.guest + ".elf")]
    argv += ["--timeout", str(case.seconds), *case.options]
    try:
        done = subprocess.run(argv, input=case.stdin, capture_output=True, timeout=VMM_SECONDS, check=False)
    except subprocess.TimeoutExpired as late:
        return ["did not end within %d s: %s" % (VMM_SECONDS, " ".join(argv)), *tail(late.stdout, late.stderr)]
    wrong = []
    if done.returncode != case.code:
        wrong.append("exit code %d, expected %d" % (done.returncode, case.code))
    if re.search(case.pattern, done.stdout) is None:
        wrong.append("console does not match %.200r" % case.pattern)
    problem = case.check(done.stdout) if case.check else None
    if problem:
        wrong.append("console: " + problem)
    if SANITIZER.search(done.stderr):
        wrong.append("a sanitizer spoke")
    if wrong:
        wrong += [" ".join(argv), *tail(done.stdout, done.stderr)]
    return wrong


def tail(out, err):
    lines = []
    for name, data in (("stdout", out), ("stderr", err)):
        text = (data or b"")[-2000:].decode("ascii", "backslashreplace")
        lines += ["%s: %s" % (name, line) for line in re.split(r"[\r\n]+", text) if line]
    return lines


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(case.name for case in CASES))
        return 0
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    vmm, guests, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 77
    cases = [case for case in CASES if not only or case.name in only or case.name.split("/")[0] in only]
    if not cases:
        print("run-micro.py: no case is named %s" % " ".join(only), file=sys.stderr)
        return 2
    print("1..%d" % len(cases), flush=True)
    failures = 0
    for number, case in enumerate(cases, 1):
        wrong = run(case, vmm, guests)
        failures += bool(wrong)
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, case.name))
        for line in wrong:
            print("# " + "".join(c if c.isprintable() else "?" for c in line))
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
