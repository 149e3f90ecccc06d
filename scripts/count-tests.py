#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Add up meson's test logs: one line, `N passed, N failed, N skipped`. A case inside a test counts as a test."""

import json
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def count(log):
    """Return [passed, failed, skipped] of the `meson test` whose logs are LOG.json and LOG.junit.xml."""
    total = [0, 0, 0]
    failing_cases = set()
    for suite in xml.parse(f"{log}.junit.xml").getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            tags = {child.tag for child in case}
            outcome = 1 if tags & {"failure", "error"} else 2 if "skipped" in tags else 0
            total[outcome] += 1
            if outcome == 1:
                failing_cases |= {suite.get("name", "").split(".")[-1], case.get("name")}
    # A test that died or timed out may have no case that says so.
    for line in Path(f"{log}.json").read_text().splitlines():
        test = json.loads(line)
        name = test["name"].split(" / ")[-1].split(":")[-1]
        if test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL") and name not in failing_cases:
            total[1] += 1
    return total


def main():
    passed, failed, skipped = (sum(column) for column in zip(*(count(log) for log in sys.argv[1:])))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
