#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmm test tells git bisect run which commit broke a boot.

    test-bisect.py VMM GUEST_DIR     prints TAP; skipped where there is no /dev/kvm, or no git
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PATIENCE = 120
# What is built from each commit, the oldest first. The one in the middle, with which git begins, cannot be booted.
HISTORY = ["poweroff.elf", "poweroff.elf", "poweroff.elf", "poweroff.elf", None, "poweroff.elf", "panic.elf", "panic.elf", "triple-fault.elf"]
FIRST_BAD = 6


class Repository:
    """Whose only file is a kernel."""

    def __init__(self, vmm, guests, folder):
        self.vmm, self.folder = vmm, Path(folder) / "tree"
        self.folder.mkdir()
        self.scenario = Path(folder) / "boot.test"
        self.scenario.write_text("[machine]\nkernel = none\nmem = 32M\n[test]\ntimeout = 60\n")
        self.env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(folder),
                    **{"GIT_%s_%s" % (who, what): "tester@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}
        self.git("init", "--quiet")
        for number, guest in enumerate(HISTORY):
            kernel = Path(guests, guest).read_bytes() if guest else b"This does not build.\n"
            (self.folder / "kernel").write_bytes(kernel)
            (self.folder / "number").write_text(str(number))
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", "commit %d" % number)
        self.commits = self.git("rev-list", "--reverse", "HEAD").split()

    def git(self, *arguments, check=True):
        return subprocess.run(["git", *arguments], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, check=check, timeout=PATIENCE).stdout

    def bisect(self, *options):
        self.git("bisect", "start", self.commits[-1], self.commits[0])
        said = self.git("bisect", "run", self.vmm, "test", "--quiet", "--kernel", "kernel", *options, str(self.scenario), check=False)
        self.git("bisect", "reset")
        return said


def check_first_bad(repository):
    """the first bad commit is found, past one that cannot be booted"""
    said = repository.bisect()
    assert "%s is the first bad commit" % repository.commits[FIRST_BAD] in said, said
    assert "vmm" not in said.replace(repository.vmm, ""), "it is not quiet: %s" % said


def check_fixed(repository):
    """the commit that lost a panic is found as well, by its outcome"""
    repository.scenario.write_text(repository.scenario.read_text() + "outcome = panic\n")
    repository.git("bisect", "start", repository.commits[-1], repository.commits[FIRST_BAD])
    said = repository.git("bisect", "run", repository.vmm, "test", "-q", "--kernel", "kernel", str(repository.scenario), check=False)
    repository.git("bisect", "reset")
    assert "%s is the first bad commit" % repository.commits[-1] in said, said


def check_mistake(repository):
    """a mistake ends the search: it is no bad commit"""
    said = repository.bisect("--nonsense")
    assert "is the first bad commit" not in said and "nonsense" in said, said
    assert "128" in said, said


CHECKS = [check_first_bad, check_fixed, check_mistake]


def main():
    vmm, guests = sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or not shutil.which("git"):
        print("1..0 # SKIP no access to /dev/kvm, or no git")
        return 0
    print("1..%d" % len(CHECKS))
    failures = 0
    for number, run in enumerate(CHECKS, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                run(Repository(os.path.abspath(vmm), guests, folder))
                print("ok %d - %s" % (number, run.__doc__), flush=True)
            except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
                failures += 1
                print("not ok %d - %s" % (number, run.__doc__), *("# " + line for line in str(wrong).splitlines()), sep="\n", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
