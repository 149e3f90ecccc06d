# SPDX-License-Identifier: Apache-2.0
"""A guest that keeps a disk busy, under vmm and under QEMU in turn, on the same file."""

import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

QEMU = "qemu-system-x86_64"
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
LIMIT = 60  # seconds for one run
VCPU = re.compile(r"^(vcpu\d+|CPU \d+/KVM)$")


def commands(options, transport, image, words):
    """Return {program: command}."""
    guest = str(options.build / "tests/guests/bench-disk.elf")
    found = {"vmm": [str(options.vmm), "--kernel", guest, "--mem", "128M", "--cmdline", words, "--disk", str(image),
                     "--transport", transport, "--watchdog", "off"]}
    if shutil.which(QEMU):
        machine = "q35,accel=kvm" if transport == "pci" else "microvm,accel=kvm"
        found["QEMU"] = [
            shutil.which(QEMU), "-M", machine, "-m", "128", "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-serial", "stdio", "-name", "bench,debug-threads=on", "-kernel", guest, "-append", words, "-object", "iothread,id=loop",
            "-drive", f"file={image},format=raw,if=none,id=disk,aio=io_uring,cache=writeback",
            "-device", f"virtio-blk-{'pci,disable-legacy=on' if transport == 'pci' else 'device'},drive=disk,iothread=loop",
            "-global", "virtio-mmio.force-legacy=off",
        ]
    return found


def device_seconds(pid):
    """The CPU time of all threads but the vCPUs: a guest that polls keeps those busy whatever happens."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            if not VCPU.match((task / "comm").read_text().strip()):
                spent += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:  # a thread that has just ended
            pass
    return spent / 1e9


def wait_for(process, word, deadline):
    """Return the guest's line that begins with the word."""
    text = ""
    while time.monotonic() < deadline:
        if not select.select([process.stdout], [], [], deadline - time.monotonic())[0]:
            break
        more = os.read(process.stdout.fileno(), 4096).decode(errors="replace")
        if not more:
            break
        text += more
        for line in text.splitlines(keepends=True):
            if line.endswith("\n") and line.startswith((word, "failed")):
                return line
    raise RuntimeError(f"{process.args[0]}: no \"{word}\" from the guest in {LIMIT} s")


def run_once(command):
    """Return requests, cycles, kicks, device seconds."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + LIMIT
            if wait_for(process, "begin", deadline).startswith("failed"):
                raise RuntimeError(f"{command[0]}: the guest cannot begin")
            before = device_seconds(process.pid)
            line = wait_for(process, "done", deadline)
            spent = device_seconds(process.pid) - before
            match = re.match(r"done (\d+) ([0-9a-f]+) (\d+)", line)
            if not match:
                raise RuntimeError(f"{command[0]}: {line.strip()}")
            return int(match.group(1)), int(match.group(2), 16), int(match.group(3)), spent
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def measure(options, transport, image):
    """Return {load: {program: {rate, cpu, kicks}}}; a rate is requests for 10^9 cycles of the time stamp counter."""
    found = {}
    for load, (depth, size, requests, writes) in LOADS.items():
        rounds = {}
        for number in range(options.rounds):
            words = f"depth={depth} bytes={size} requests={requests} write={int(writes)} seed={number + 1}"
            for program, command in commands(options, transport, image, words).items():
                rounds.setdefault(program, []).append(run_once(command))
        found[load] = {
            program: {
                "rate": statistics.median(done / cycles * 1e9 for done, cycles, _, _ in runs),
                "cpu_us": statistics.median(spent / done * 1e6 for done, _, _, spent in runs),
                "kicks": statistics.median(kicks / done for done, _, kicks, _ in runs),
            }
            for program, runs in rounds.items()
        }
    return found


def disk(options, targets, table):
    found = {}
    with tempfile.TemporaryDirectory(dir=options.build) as folder:
        image = Path(folder, "disk.img")
        # In small pieces, as guests write: a page cache of large folios, which one large write makes, has newer
        # kernels go through the whole folio for each small write, and that would be most of what is measured.
        with open(image, "wb", buffering=0) as stream:
            for _ in range(DISK_BYTES >> 12):
                stream.write(os.urandom(1 << 12))
        for transport in ("pci", "mmio"):
            found[transport] = measure(options, transport, image)
    rows = []
    for transport, loads in found.items():
        for load, programs in loads.items():
            for program, told in programs.items():
                rows.append([f"{load}, {transport}", program, f"{told['rate']:.0f}", f"{told['cpu_us']:.2f}", f"{told['kicks']:.3f}"])
    table(["load", "program", "requests/Gcycle", "device CPU us/request", "kicks/request"], rows)
    for transport, loads in found.items():
        for load, programs in loads.items():
            if "QEMU" not in programs:
                continue
            ours, theirs = programs["vmm"], programs["QEMU"]
            wanted = 1.0 if "MiB" in load else 1.3
            targets.at_least(f"{load}, {transport}: rate beside QEMU", ours["rate"] / theirs["rate"], wanted)
            if "MiB" not in load:
                targets.at_most(f"{load}, {transport}: device CPU beside QEMU", ours["cpu_us"] / max(theirs["cpu_us"], 0.01), 0.7)
            if "depth 32" in load:
                targets.at_most(f"{load}, {transport}: kicks for each request", ours["kicks"], 0.1)
    return found
