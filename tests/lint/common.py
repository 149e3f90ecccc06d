# SPDX-License-Identifier: Apache-2.0
"""What the lints share: the list of files, C without its comments, and the report."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Not ours to check: build trees, and inputs that are meant to be malformed.
IGNORED = re.compile(r"(^|/)(\.git|build[^/]*|subprojects|__pycache__|corpus)(/|$)")


def files(*patterns, under="."):
    """Return the project's files that match, as paths relative to the root."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", under],
                            check=False, text=True, capture_output=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:  # a release's tarball has no .git
        names = [str(path.relative_to(ROOT)) for path in (ROOT / under).rglob("*") if path.is_file()]
    found = [Path(name) for name in sorted(set(names)) if not IGNORED.search(name) and (ROOT / name).is_file()]
    return [path for path in found if not patterns or any(path.match(pattern) for pattern in patterns)]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def _blank(match):
    text = match.group(0)
    return '""' if text[0] == '"' else "''" if text[0] == "'" else re.sub(r"[^\n]", " ", text)


def code_only(text):
    """Return C source with comments blanked and strings emptied; line numbers stay as they are."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', _blank, text, flags=re.S)


def finish(problems):
    """Print the problems, and end the lint."""
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
