#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each file: its licence line, its size, whitespace, and words that do not belong into a finished tree."""

import re

import common

LICENSED = ("*.c", "*.h", "*.S", "*.ld", "*.py", "*.sh", "*.toml", "*.test", "*.ini", "*.yml", "meson.build", "meson_options.txt", "*.map", "*.[1-8]", "*.rs", "*.dict")
IDENTIFIER = "SPDX-License-Identifier: Apache-2.0"
MAX_LINES = 600
MAX_LINES_OF_TESTS = 800  # a test file goes by its subject
MAX_COLUMNS = 132
# Notes to oneself, and paths of one developer's machine.
WORDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|(?<![\w.~}])/(?:home|Users|work)/\w")


def is_script(path):
    return path.suffix == "" and common.read(path).startswith("#!")


def check(path):
    text = common.read(path)
    lines = text.splitlines()
    licensed = any(path.match(pattern) for pattern in LICENSED) or is_script(path)
    if licensed and not any(IDENTIFIER in line for line in lines[:3]):
        yield f"{path}:1: the first lines do not say {IDENTIFIER}"
    limit = MAX_LINES_OF_TESTS if path.parts[0] == "tests" else MAX_LINES
    if path.suffix in (".c", ".h", ".py") and len(lines) > limit:
        yield f"{path}: {len(lines)} lines, more than {limit}: one subject a file"
    if text and not text.endswith("\n"):
        yield f"{path}:{len(lines)}: the last line does not end"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip() and path.suffix != ".md":
            yield f"{path}:{number}: white space at the end of the line"
        if path.suffix in (".c", ".h", ".S") and len(line) > MAX_COLUMNS:
            yield f"{path}:{number}: {len(line)} columns"
        found = WORDS.search(line)
        if found:
            yield f"{path}:{number}: \"{found.group(0)}\" does not belong here"


def main():
    problems = []
    for path in common.files():
        if b"\0" not in (common.ROOT / path).read_bytes()[:4096]:
            problems += check(path)
    common.finish(problems)


if __name__ == "__main__":
    main()
