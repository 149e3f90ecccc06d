# SPDX-License-Identifier: Apache-2.0
"""The same check as a scenario of `vmm test`, and as a script of expect around QEMU: lines, and seconds."""

import statistics
from pathlib import Path

from bedlib import images

import rounds

HERE = Path(__file__).resolve().parent
SCENARIO, SCRIPT = "compare.test", "expect-qemu.exp"
# expect's own: Tcl reads them when it starts.
TCL = Path("/usr/share/tcltk/tcl8.6")


def lines(path):
    """What somebody had to write: without empty lines and comments."""
    return sum(1 for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#"))


def programs(default):
    """Return {name: (command line, file)}: as one would type it, and with the kernel command line of the other."""
    plain = default.replace(" cryptomgr.notests", "")
    qemu = "-L /usr/share/qemu -L /usr/share/seabios -M"

    def expect(machine, line):
        return f"/in/bin/expect /in/bin/{SCRIPT} $K $I '{line} vmmtest=shell,poweroff' {qemu} {machine},accel=kvm", SCRIPT

    def test(more):
        return f"/in/bin/vmm test {more} /in/bin/{SCENARIO}", SCENARIO

    return {
        "vmm test": test(""),
        "QEMU q35 + expect": expect("q35", plain),
        "QEMU q35 + expect, vmm's command line": expect("q35", default),
        "QEMU microvm + expect, vmm's command line": expect("microvm", default),
        "vmm test, QEMU's command line": test(f"--machine 'cmdline={plain}'"),
    }


def add(stage):
    images.add_program(stage, "expect", images.find_program("expect"))
    for path in TCL.rglob("*.tcl"):
        images.place(path, stage / "root" / str(path).lstrip("/"))
    for name in (SCENARIO, SCRIPT):
        images.place(HERE / name, stage / "bin" / name)


def compare(options, default, table):
    """Print the table; return {name: {lines, seconds, passed}}."""
    if not images.find_program("expect"):
        raise rounds.Unavailable("expect is needed: apt-get install expect")
    known = programs(default)
    found = {}
    rows = []
    told = rounds.run(options, {name: f"env PATH=/in/bin:$PATH {command}" for name, (command, _) in known.items()}, add)
    for name, runs in told.items():
        seconds = [int(result["elapsed_us"]) / 1e6 for result, _ in runs if result.get("exit") == "0"]
        entry = {"lines": lines(HERE / known[name][1]), "seconds": seconds, "runs": len(runs)}
        found[name] = entry
        middle = f"{statistics.median(seconds):.2f}" if seconds else "-"
        rows.append([name, entry["lines"], middle, f"{len(seconds)} of {len(runs)}"])
    table(["the same check", "lines", "seconds, median", "passed"], rows)
    return found
