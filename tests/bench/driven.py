# SPDX-License-Identifier: Apache-2.0
"""A guest that keeps a device busy (tests/guests/bench.h), under vmm and under QEMU in turn."""

import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

QEMU = "qemu-system-x86_64"
TRANSPORTS = ("pci", "mmio")
LIMIT = 60  # seconds for one run
VCPU = re.compile(r"^(vcpu\d+|CPU \d+/KVM)$")


def vmm_command(options, transport, guest, words, device):
    return [str(options.vmm), "--kernel", guest, "--mem", "128M", "--cmdline", words, *device,
            "--transport", transport, "--watchdog", "off"]


def qemu_command(transport, guest, words, backend, device, properties):
    """None where there is no QEMU. A device of its own for each transport: virtio-DEVICE-pci, virtio-DEVICE-device."""
    if not shutil.which(QEMU):
        return None
    kind = "pci,disable-legacy=on" if transport == "pci" else "device"
    return [
        shutil.which(QEMU), "-M", ("q35" if transport == "pci" else "microvm") + ",accel=kvm", "-m", "128", "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-name", "bench,debug-threads=on",
        "-kernel", guest, "-append", words, *backend, "-device", f"virtio-{device}-{kind},{properties}",
        "-global", "virtio-mmio.force-legacy=off",
    ]


def device_seconds(pid):
    """The CPU time of all threads but the vCPUs: a guest that polls keeps those busy whatever happens."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            if not VCPU.match((task / "comm").read_text().strip()):
                found += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            pass
    return found / 1e9


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
            line = wait_for(process, "begin", deadline)
            if line.startswith("failed"):
                raise RuntimeError(f"{command[0]}: the guest cannot begin: {line.strip()}")
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


def name_of(load, transport):
    return f"{load}, {transport}"


def measure(options, transport, loads, commands):
    """Return {load: {program: {rate, cpu_us, kicks}}}; a rate is requests for 10^9 cycles of the time stamp counter.

    Only the loads are measured whose name, as the table has it, options.only is found in. commands (load, number of the
    round) gives {program: command, or None where there is no such program}."""
    found = {}
    for load in loads:
        if not re.search(options.only, name_of(load, transport)):
            continue
        runs = {}
        for number in range(options.rounds):
            for program, command in commands(load, number).items():
                if command:
                    runs.setdefault(program, []).append(run_once(command))
        found[load] = {
            program: {
                "rate": statistics.median(done / cycles * 1e9 for done, cycles, _, _ in told),
                "cpu_us": statistics.median(spent / done * 1e6 for done, _, _, spent in told),
                "kicks": statistics.median(kicks / done for done, _, kicks, _ in told),
            }
            for program, told in runs.items()
        }
    return found


def print_table(found, table):
    """found: {transport: what measure gave}"""
    rows = []
    for transport, loads in found.items():
        for load, programs in loads.items():
            for program, told in programs.items():
                rows.append([name_of(load, transport), program, f"{told['rate']:.0f}", f"{told['cpu_us']:.2f}", f"{told['kicks']:.3f}"])
    table(["load", "program", "requests/Gcycle", "device CPU us/request", "kicks/request"], rows)


def judge(found, targets, is_bulk):
    """Beside QEMU; with is_bulk (load) its bytes count, and its requests otherwise."""
    for transport, loads in found.items():
        for load, programs in loads.items():
            if "QEMU" not in programs:
                continue
            ours, theirs = programs["vmm"], programs["QEMU"]
            bulk = is_bulk(load)
            targets.at_least(f"{name_of(load, transport)}: rate beside QEMU", ours["rate"] / theirs["rate"], 1.0 if bulk else 1.3)
            if not bulk:
                targets.at_most(f"{name_of(load, transport)}: device CPU beside QEMU", ours["cpu_us"] / max(theirs["cpu_us"], 0.01), 0.7)
            if "depth 32" in load:
                targets.at_most(f"{name_of(load, transport)}: kicks for each request", ours["kicks"], 0.1)
