#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmm run as its user sees it, natively: with small guests that pass for a Linux kernel and run no command. TAP.

    run-command.py VMM GUEST_DIR
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PANIC = 12
BANNER = b"\0Linux version 6.1.0-test (nobody)\0"


class Bench:
    def __init__(self, vmm, guests, folder):
        self.vmm, self.guests, self.folder = vmm, Path(guests), folder
        (folder / "root").mkdir()

    def run(self, guest, *options, **more):
        """Runs a command in a small guest. What is behind an ELF file's sections makes it a Linux for vmm."""
        kernel = self.folder / "kernel"
        kernel.write_bytes((self.guests / guest).read_bytes() + BANNER)
        argv = [self.vmm, "run", "--kernel", kernel, "--root", self.folder / "root", "--kernel-entry", "pvh", "--mem", "64M",  *options, "--", "true"]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=90, check=False, **more)


def expect(got, wanted):
    assert got == wanted, "%r instead of %r" % (got, wanted)


def check_log(bench):
    """the kernel's log goes to the file, or its end to standard error when there was no command"""
    done = bench.run("console-panic.elf", "--timeout", "3")
    expect((done.returncode, done.stdout), (PANIC, b""))
    assert b"Kernel panic - not syncing: test\n" in done.stderr, done.stderr
    log = bench.folder / "log"
    done = bench.run("console-panic.elf", "--timeout", "3", "--console-log", log)
    expect((done.returncode, done.stdout), (PANIC, b""))
    assert b"Run /init" not in done.stderr, done.stderr
    assert b"Run /init as init process\r\n" in log.read_bytes(), log.read_bytes()


def check_terminal(bench):
    """what the guest's kernel says does nothing to the terminal, in no part of what is shown"""
    for more in ((), ("--console-log", bench.folder / "log")):
        done = bench.run("console-controls.elf", *more)
        expect((done.returncode, done.stdout), (PANIC, b""))
        assert b"Fatal" in done.stderr and b"31m" in done.stderr, done.stderr
        for letter in done.stderr.decode():
            assert letter == "\n" or ord(letter) not in (*range(0x20), *range(0x7f, 0xa0)), done.stderr


def check_full_disk(bench):
    """a log that cannot be written is told, beside what else there is to tell"""
    report = bench.folder / "report"
    done = bench.run("console-lies.elf", "--timeout", "60", "--console-log", "/dev/full", "--json", report)
    expect((done.returncode, done.stdout), (PANIC, b""))
    assert done.stderr.endswith(b"; the kernel's log cannot be written: No space left on device\n"), done.stderr
    command = json.loads(report.read_text(encoding="utf-8"))["command"]
    expect((command["end"], command["exit_code"]), ("unknown", PANIC))
    assert command["message"].endswith("No space left on device"), command


def check_full_report(bench):
    """a report that cannot be written is told, and does not hide how the run ended"""
    done = bench.run("console-lies.elf", "--timeout", "60", "--json", "/dev/full")
    expect((done.returncode, done.stdout), (PANIC, b""))
    assert done.stderr.endswith(b"\nvmm: json \"/dev/full\": No space left on device\n"), done.stderr


CHECKS = [check_log, check_terminal, check_full_disk, check_full_report]


def main():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 0
    failures = 0
    print("1..%d" % len(CHECKS))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(*sys.argv[1:3], Path(folder))
        for number, check in enumerate(CHECKS, 1):
            try:
                check(bench)
                wrong = None
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                wrong = str(error) or "an assertion failed"
                failures += 1
            print("%sok %d - %s" % ("not " if wrong else "", number, check.__doc__))
            if wrong:
                print("# " + wrong.replace("\n", "\n# "))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
