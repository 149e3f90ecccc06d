#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts parse: Python by its compiler, shell by `sh -n` and `bash -n`."""

import ast
import subprocess

import common


def main():
    problems = []
    for path in common.files():
        text = common.read(path)
        first = text.split("\n", 1)[0]
        if path.suffix == ".py" or (first.startswith("#!") and "python" in first):
            try:
                ast.parse(text, str(path))
            except SyntaxError as reason:
                problems.append(f"{path}:{reason.lineno}: {reason.msg}")
        elif first.startswith("#!") and first.endswith("sh"):
            shell = "bash" if "bash" in first else "sh"
            checked = subprocess.run([shell, "-n", common.ROOT / path], check=False, text=True, capture_output=True)
            problems += checked.stderr.splitlines()
    common.finish(problems)


if __name__ == "__main__":
    main()
