#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs of the host talk with a guest through the socket device, over both transports. TAP.

    run-vsock.py VMM GUEST_DIR     skipped where there is no /dev/kvm
"""
import hashlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 30


def check(good, what):
    if not good:
        raise AssertionError(what)


def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        check(byte, "closed after %r" % line)
        line += byte
    return line


def read_all(sock, count):
    data = bytearray()
    while len(data) < count:
        some = sock.recv(count - len(data))
        check(some, "closed after %d bytes" % len(data))
        data += some
    return bytes(data)


class Machine:
    def __init__(self, vmm, guests, folder, transport):
        self.path, self.vmm, self.control = os.path.join(folder, "v"), vmm, os.path.join(folder, "c")
        self.service = socket.socket(socket.AF_UNIX)
        self.service.bind(self.path + "_1000")
        self.service.listen(1)
        self.service.settimeout(PATIENCE)
        self.process = subprocess.Popen([vmm, "--kernel", os.path.join(guests, "vsock-echo.elf"), "--mem", "32M", "--timeout", "120", "--transport", transport,
                                         "--vsock", "cid=42,path=" + self.path, "--control", self.control],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def open(self, port):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(self.path)
        sock.sendall(b"CONNECT %d\n" % port)
        check(read_line(sock).startswith(b"OK "), "no OK")
        return sock

    def ctl(self, *words):
        return subprocess.run([self.vmm, "ctl", self.control, *words], capture_output=True, timeout=PATIENCE).returncode

    def end(self):
        self.ctl("stop")
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
        self.service.close()


def check_guest_connects(machine):
    """the guest connects to a program of the host"""
    sock, _ = machine.service.accept()
    sock.settimeout(PATIENCE)
    check(read_all(sock, 6) == b"hello\n", "no hello")
    sock.sendall(b"back")
    check(read_all(sock, 4) == b"back", "no echo")
    sock.close()


def check_bytes(machine):
    """bytes come back as they went, whatever the sizes"""
    sock = machine.open(5)
    source = random.Random(1)
    sent, got = hashlib.sha256(), hashlib.sha256()
    for _ in range(100):
        data = source.randbytes(source.choice((1, 100, 4096, 30000)))
        sock.sendall(data)
        sent.update(data)
        got.update(read_all(sock, len(data)))
    check(sent.digest() == got.digest(), "other bytes")
    sock.close()


def check_many(machine):
    """200 connections at a time are kept apart"""
    socks = [machine.open(100 + i) for i in range(200)]
    for i, sock in enumerate(socks):
        sock.sendall(b"I am %d\n" % i)
    for i, sock in enumerate(socks):
        check(read_line(sock) == b"I am %d\n" % i, i)
        sock.close()


def check_stuck(machine):
    """a program that does not read stops nobody else"""
    stuck, other = machine.open(1), machine.open(2)
    stuck.setblocking(False)
    sent = 0
    end = time.monotonic() + 1
    while time.monotonic() < end and sent < 300000:
        try:
            sent += stuck.send(b"x" * 4096)
        except BlockingIOError:
            time.sleep(0.001)
    other.sendall(b"still here\n")
    check(read_line(other) == b"still here\n", "stuck")
    stuck.close()
    other.close()


def check_pause(machine):
    """a pause in the middle loses nothing"""
    sock = machine.open(3)
    check(machine.ctl("pause") == 0, "pause")
    sock.sendall(b"during\n")
    check(machine.ctl("resume") == 0, "resume")
    check(read_line(sock) == b"during\n", "lost")
    sock.close()


CHECKS = [check_guest_connects, check_bytes, check_many, check_stuck, check_pause]


def main():
    vmm, guests = sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 0
    print("1..%d" % (3 * len(CHECKS)))
    number = failures = 0
    for transport in ("pci", "mmio", "mmio-cmdline"):
        with tempfile.TemporaryDirectory() as folder:
            machine = Machine(vmm, guests, folder, transport)
            try:
                for run in CHECKS:
                    number += 1
                    try:
                        run(machine)
                        print("ok %d - %s: %s" % (number, transport, run.__doc__))
                    except (AssertionError, OSError) as wrong:
                        failures += 1
                        print("not ok %d - %s: %s\n# %r" % (number, transport, run.__doc__, wrong))
            finally:
                machine.end()
                if failures:
                    print("# " + machine.process.stdout.read().decode("utf-8", "replace").replace("\n", "\n# "))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
