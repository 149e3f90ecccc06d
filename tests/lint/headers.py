#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles by itself, without the rest of the project, as strict C11 and as C++.

    headers.py HEADER...     CC and CXX name the compilers; without one for C++ that half is left out
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import common

WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]


def glib_flags():
    """GLib's own headers are not ours to judge."""
    flags = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], check=True, text=True, capture_output=True).stdout
    return [flag.replace("-I", "-isystem", 1) for flag in shlex.split(flags)]


def compile_alone(compiler, standard, suffix, folder, header, flags):
    """Returns what the compiler says, twice included so that the guard is needed."""
    source = folder / ("alone" + suffix)
    source.write_text(f"#include <vmm/{header}>\n#include <vmm/{header}>\nextern int nothing;\n", encoding="ascii")
    done = subprocess.run([*compiler, standard, *WARNINGS, "-I", folder, *flags, source], check=False, text=True,
                          capture_output=True)
    return done.stderr if done.returncode else ""


def main():
    headers = [Path(name) for name in sys.argv[1:]]
    languages = [(shlex.split(os.environ.get("CC", "cc")), "-std=c11", ".c")]
    cxx = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(cxx[0]):
        languages += [(cxx, "-std=c++11", ".cc"), (cxx, "-std=c++20", ".cc")]
    problems = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "vmm").mkdir()
        for header in headers:
            shutil.copy(header, folder / "vmm")
        for header in headers:
            for compiler, standard, suffix in languages:
                said = compile_alone(compiler, standard, suffix, folder, header.name, glib_flags())
                if said:
                    problems.append(f"src/vmm/{header.name}:1: does not compile alone with {standard}:\n{said}")
    common.finish(problems)


if __name__ == "__main__":
    main()
