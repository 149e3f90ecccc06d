#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmm(1) has each option that --help has, and none besides, and each key of what is written as JSON.

    manual.py VMM PAGE      prints TAP; needs no /dev/kvm
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HELP_OPTION = re.compile(r"^ +(?:-\w, )?--([a-z][a-z-]*)", re.M)
PAGE_OPTION = re.compile(r"^\.It (?:Fl \w , )?Fl Fl ([a-z-]+)", re.M)
# Of the machine, and of each command.
COMMANDS = ("", "run", "test", "record", "ctl", "disk", "inspect", "kernel", "doctor")
COMMON = {"help"}
SCENARIO = "[machine]\nkernel = none\n[step a]\nexpect = a\n[step b]\nrun = b\n"


class Manual:
    def __init__(self, vmm, page, folder):
        self.vmm, self.text, self.folder = vmm, page.read_text(), folder
        self.env = dict(os.environ, XDG_DATA_HOME=str(folder / "data"))

    def run(self, *words):
        return subprocess.run([self.vmm, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.env, cwd=self.folder, timeout=120, check=False).stdout

    def section(self, heading):
        """What is below a heading."""
        return re.split(r"^\.S[hs] ", self.text.split(f"\n.Ss {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def keys(value):
    """Those of all objects in it."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def check(good, what):
    if not good:
        raise AssertionError(what)


def check_options(manual):
    """the options are those of --help"""
    machine = set(HELP_OPTION.findall(manual.run("--help")))
    for command in COMMANDS:
        helped = machine if command == "" else set(HELP_OPTION.findall(manual.run(command, "--help")))
        headings = [f"vmm {command}"] if command else ["Options of the machine", "Options of the command"]
        told = {option for heading in headings for option in PAGE_OPTION.findall(manual.section(heading))}
        check(told - helped == set(), (command, "not an option:", told - helped))
        missing = helped - told - COMMON - (machine if command else set())
        check(missing == set(), (command, "not told:", missing))


def check_json(manual):
    """the keys of JSON are told"""
    (manual.folder / "a.test").write_text(SCENARIO)
    manual.run("disk", "create", "--format", "qcow2", "disk", "1M")
    manual.run("--kernel", "none", "--json", "run.json")
    of_test = json.loads(manual.run("test", "--json", "-", "--repeat", "2", "a.test"))
    for each in of_test["runs"]:
        each.pop("axes")                    # names of the scenario's own
    of_test.pop("summary")                  # the statuses, which are told with vmm test
    for each in of_test["repeats"]:
        each.pop("verdicts")
    doctor = json.loads(manual.run("doctor", "--json", "--no-speed"))
    doctor["kvm"].pop("capabilities")       # KVM's names
    for heading, written in (("Of a run", json.loads((manual.folder / "run.json").read_text())), ("Of vmm test", of_test),
                             ("Of vmm test", json.loads(manual.run("test", "--list", "--json", "-", "a.test"))),
                             ("Of vmm disk", json.loads(manual.run("disk", "info", "--json", "disk"))),
                             ("Of vmm disk", json.loads(manual.run("disk", "check", "--json", "disk"))),
                             ("Of vmm kernel", json.loads(manual.run("kernel", "check", "--json"))), ("Of vmm doctor", doctor)):
        told = set(re.findall(r"[a-z0-9_]+", manual.section(heading)))
        check(keys(written), (heading, written))
        check(keys(written) - told == set(), (heading, "not told:", keys(written) - told))


CHECKS = [check_options, check_json]


def main():
    failures = 0
    print("1..%d" % len(CHECKS))
    for number, function in enumerate(CHECKS, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                function(Manual(os.path.abspath(sys.argv[1]), Path(sys.argv[2]), Path(folder)))
                print("ok %d - %s" % (number, function.__doc__), flush=True)
            except (AssertionError, OSError, ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as wrong:
                failures += 1
                print("not ok %d - %s\n# %s" % (number, function.__doc__, wrong), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
