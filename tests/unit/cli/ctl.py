#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmm ctl and the control socket of a machine that runs.

    ctl.py VMM GUEST_DIR     prints TAP; skipped where there is no /dev/kvm
"""
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 20
IDLE_DISK = {"name": "disk0", "kind": "disk", "requests": 0, "bytes_from_guest": 0, "bytes_to_guest": 0, "kicks": 0, "interrupts": 0}


class Machine:
    """One that waits for ever, with its socket in @folder."""

    def __init__(self, vmm, guests, folder):
        self.vmm, self.path, self.disk = vmm, os.path.join(folder, "control"), os.path.join(folder, "disk.img")
        with open(self.disk, "wb") as disk:
            disk.truncate(1 << 20)
        self.process = subprocess.Popen([vmm, "--kernel", os.path.join(guests, "idle.elf"), "--mem", "32M", "--timeout", "60", "--control", self.path, "--disk", self.disk],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                self.connect().close()
                return
            except OSError:
                time.sleep(0.01)

    def ctl(self, *words):
        done = subprocess.run([self.vmm, "ctl", self.path, *words], capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr

    def status(self):
        return json.loads(self.ctl("status", "--json")[1])

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        client.connect(self.path)
        return client


def check(good, what):
    if not good:
        raise AssertionError(what)


def check_status(machine):
    """status tells what the machine is"""
    check(stat.S_IMODE(os.lstat(machine.path).st_mode) == 0o600, "others may connect")
    answer = machine.status()
    check(answer["ok"] and answer["state"] == "running" and answer["verdict"] is None, answer)
    check(answer["cpus"] == 1 and answer["memory_bytes"] == 32 << 20 and answer["devices"] == [IDLE_DISK], answer)
    check([sorted(vcpu) for vcpu in answer["vcpus"]] == [["ran_seconds", "waited_seconds"]], answer)
    code, text, _ = machine.ctl("status")
    check(code == 0 and "running" in text and "32 MiB" in text, text)


def check_pause(machine):
    """pause and resume do it, and are refused when they make no sense"""
    check(machine.ctl("pause") == (0, "", ""), "pause")
    check(machine.status()["state"] == "paused", "not paused")
    code, _, wrong = machine.ctl("pause")
    check(code == 4 and "cannot be paused" in wrong, wrong)
    check(machine.ctl("resume") == (0, "", ""), "resume")
    check(machine.status()["state"] == "running", "not running")


def check_break(machine):
    """break is taken by a machine that runs and by one that is paused, and the guest lives on"""
    for words in ([], ["pause"], [], ["resume"]):
        check(machine.ctl(*(words or ["break"])) == (0, "", ""), words or "break")
    check(machine.status()["state"] == "running", "not running")


def check_no_device(machine):
    """what there is no device for is refused"""
    for words in (["balloon"], ["balloon", "64M"], ["resize", "disk7", "1G"]):
        code, _, wrong = machine.ctl(*words)
        check(code == 4 and "the machine has no" in wrong, (words, code, wrong))


def check_resize(machine):
    """resize lets a disk grow, and not shrink"""
    check(machine.ctl("resize", "disk0", "3M") == (0, "", ""), "resize")
    check(os.path.getsize(machine.disk) == 3 << 20, os.path.getsize(machine.disk))
    code, _, wrong = machine.ctl("resize", "disk0", "1M")
    check(code == 4 and "grow" in wrong and os.path.getsize(machine.disk) == 3 << 20, wrong)


def check_usage(machine):
    """bad usage is code 2, and one line"""
    for words in (["fly"], ["balloon", "much"], ["resize", "disk0"], ["pause", "now"], ["status", "--fast"]):
        code, _, wrong = machine.ctl(*words)
        check(code == 2 and wrong.startswith("vmm: ctl: ") and wrong.count("\n") == 1, (words, code, wrong))


def check_bad_programs(machine):
    """a program that leaves, says nonsense, never ends its line or never reads does no harm"""
    gone = machine.connect()
    gone.sendall(b'{"command":"st')
    gone.close()
    nonsense = machine.connect()
    nonsense.sendall(b"\x00\xff\n[[[[[[[[[[\n")
    check(nonsense.recv(65536).count(b'"ok":false') >= 1, "no answer")
    endless = machine.connect()
    try:
        for _ in range(1024):
            endless.sendall(b"x" * 65536)
        check(False, "64 MiB were taken")
    except (BrokenPipeError, ConnectionResetError):
        pass
    silent = machine.connect()
    silent.setblocking(False)
    try:
        for _ in range(100000):
            silent.send(b'{"command":"status"}\n' * 100)
        check(False, "all was taken")
    except BlockingIOError:
        pass
    check(machine.status()["state"] == "running", "harmed")


def check_taken(machine):
    """a second machine does not take the socket away"""
    done = subprocess.run([machine.vmm, "--control", machine.path], capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    check(done.returncode == 2 and "listens there already" in done.stderr, done.stderr)
    check(machine.status()["ok"], "the first one is gone")


def check_stop(machine):
    """stop ends the run with its verdict, events tell of it, and the socket is removed"""
    watcher = subprocess.Popen([machine.vmm, "ctl", "--json", machine.path, "events"], stdout=subprocess.PIPE, text=True)
    check(json.loads(watcher.stdout.readline())["ok"], "no events")
    check(machine.ctl("stop") == (0, "", ""), "stop")
    event = json.loads(watcher.stdout.readline())
    check(event["event"] == "ended" and event["verdict"] == "stopped" and event["exit_code"] == 22, event)
    check(watcher.wait(PATIENCE) == 0, "the watcher failed")
    check(machine.process.wait(PATIENCE) == 22, machine.process.returncode)
    check(not os.path.exists(machine.path), "the socket is left")
    code, _, wrong = machine.ctl("status")
    check(code == 4 and "No such file" in wrong, (code, wrong))


CHECKS = [check_status, check_pause, check_break, check_no_device, check_resize, check_usage, check_bad_programs, check_taken, check_stop]


def main():
    vmm, guests = sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 0
    print("1..%d" % len(CHECKS))
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(vmm, guests, Path(folder))
        for number, run in enumerate(CHECKS, 1):
            try:
                run(machine)
                print("ok %d - %s" % (number, run.__doc__))
            except (AssertionError, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as wrong:
                failures += 1
                print("not ok %d - %s\n# %r" % (number, run.__doc__, wrong))
        machine.process.kill()
        machine.process.wait()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
