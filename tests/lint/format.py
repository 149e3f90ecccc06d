#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""C files are as clang-format leaves them. Versions differ in taste, so just one is asked."""

import re
import shutil
import subprocess
import sys

import common

VERSION = "14"


def main():
    program = shutil.which(f"clang-format-{VERSION}") or shutil.which("clang-format")
    told = subprocess.run([program, "--version"], check=True, text=True, capture_output=True).stdout if program else ""
    if not re.search(rf"version {VERSION}\.", told):
        print(f"clang-format {VERSION} is not here")
        sys.exit(77)
    paths = [str(path) for path in common.files("*.c", "*.h")]
    if len(sys.argv) > 1 and sys.argv[1] == "--fix":
        sys.exit(subprocess.run([program, "-i", *paths], cwd=common.ROOT, check=False).returncode)
    checked = subprocess.run([program, "--dry-run", *paths], cwd=common.ROOT, check=False, text=True, capture_output=True)
    common.finish(sorted(set(re.findall(r"^([^:\n]+:\d+):\d+: warning: code should be clang-formatted", checked.stderr, re.M))))


if __name__ == "__main__":
    main()
