#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs examples/hello-vm on /dev/kvm, as its README says; prints TAP.

    run-example.py HELLO_VM GUEST_DIR
"""
import os
import subprocess
import sys

# Arguments, exit code, what standard output and standard error have.
RUNS = [
    ("the built-in guest", [], 0, b"Hello from a virtual machine", b"hello-vm: poweroff: "),
    ("a kernel and keys", ["debug-exit.elf", "mem=64M", "cpus=2"], 33, b"", b"hello-vm: guest-exit: "),
    ("a bad key", ["poweroff.elf", "mem=3"], 2, b"", b'hello-vm: mem "3": '),
    ("no pair", ["poweroff.elf", "quiet"], 2, b"", b'hello-vm: "quiet" is not of the form KEY=VALUE\n'),
    ("no kernel", ["none.elf"], 2, b"", b"hello-vm: kernel "),
]


def main():
    hello, guests = sys.argv[1:]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 77
    print("1..%d" % len(RUNS))
    failures = 0
    for number, (name, arguments, code, out, err) in enumerate(RUNS, 1):
        argv = [hello, *[os.path.join(guests, a) if a.endswith(".elf") else a for a in arguments]]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        good = done.returncode == code and out in done.stdout and err in done.stderr
        failures += not good
        print("%s %d - %s" % ("ok" if good else "not ok", number, name))
        if not good:
            print("# exit code %d, stdout %r, stderr %r" % (done.returncode, done.stdout[-500:], done.stderr[-500:]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
