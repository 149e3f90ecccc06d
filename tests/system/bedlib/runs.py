# SPDX-License-Identifier: Apache-2.0
"""Scenario files of `vmm test`: each is a job for a bed, and vmm's own report says what came of its runs."""

import json
import re
import shlex
import subprocess
from pathlib import Path

PASSED = ("pass", "xfail", "flaky", "skip")
# Beyond what its scenario allows, a run's own machinery takes a moment.
RUN_SECONDS = 30


class TestFile:
    """A scenario file, and the runs in it that were chosen."""

    own_machine = False

    def __init__(self, path, names, repeat, busy):
        self.path, self.names, self.repeat, self.busy = path, names, repeat, busy
        self.name = path.stem
        text = path.read_text()
        stock = re.search(r"^stock = (.*)", text, re.M)
        self.needed = set(re.split(r"[; ]+", stock.group(1))) if stock else {"cloud-6.1"}
        if "${in}/bad/" in text:
            self.needed |= {f"bad module for {name}" for name in self.needed}
        limit = re.search(r"^timeout = (\d+)", text, re.M)
        self.timeout = (RUN_SECONDS + int(limit.group(1) if limit else 150)) * len(names) * repeat
        needed = re.search(r"^# needs (\d+) MiB", text, re.M)
        self.memory_needed = int(needed.group(1)) if needed else 0
        # The one that is likely to take longest is to begin first.
        self.weight = len(names) * repeat * 10

    def write_job(self, folder, inputs, outputs, scale):
        folder.mkdir(parents=True)
        load = [f"while :; do :; done & busy=\"$busy $!\"" for _ in range(self.busy)]
        load += ["trap 'kill $busy' EXIT"] if self.busy else []
        command = [f"{inputs}/bin/vmm", "test", "--set", f"in={inputs}", "--set", f"guests={inputs}/guests",
                   "--only", f"^({'|'.join(map(re.escape, self.names))})$", "--jobs", str(2 + self.busy), "--memory", "64G", "--time-scale", f"{scale:g}",
                   "--json", f"{outputs}/vmm.json", "--junit", f"{outputs}/junit.xml", "--html", f"{outputs}/report.html", "--results", outputs]
        command += ["--repeat", str(self.repeat)] if self.repeat > 1 else []
        command.append(f"{inputs}/tests/{self.path.name}")
        lines = ["# SPDX-License-Identifier: Apache-2.0", f"export IN={shlex.quote(inputs)}", *load,
                 f"timeout {self.timeout * scale:.0f} {shlex.join(command)} > {outputs}/test.log 2>&1",
                 f"echo \"exit=$?\" > {outputs}/result"]
        (folder / "run").write_text("\n".join(lines) + "\n")

    def judge(self, folder):
        """Yield (name, [what is wrong], seconds) for each run; where they are repeated, for all those of a name."""
        code, document, why = _read(folder)
        if document is None:
            yield self.name, [why], None
            return
        left = set(self.names)
        failed = False
        for name, runs in _by_name(document["runs"]).items():
            wrong = [_what_is_wrong(run) for run in runs if run["status"] not in PASSED]
            if len(runs) != self.repeat:
                wrong.append(f"was run {len(runs)} times, not {self.repeat}")
            failed = failed or bool(wrong)
            left.discard(name)
            yield name, wrong, sum(run["seconds"] for run in runs)
        for name in sorted(left):
            yield name, ["was not run"], None
        if not failed and code != 0:
            yield self.name, [f"all passed, and vmm test ended with exit code {code}"], None


def _read(folder):
    """Return vmm's exit code, and its report or (None, why there is none)."""
    try:
        code = int((folder / "result").read_text().partition("=")[2])
        return code, json.loads((folder / "vmm.json").read_text()), None
    except (OSError, ValueError) as reason:
        log = folder / "test.log"
        lines = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        return None, None, f"{reason}; the last lines are: {' | '.join(lines)}"


def _by_name(runs):
    found = {}
    for run in runs:
        found.setdefault(run["name"], []).append(run)
    return found


def _what_is_wrong(run):
    which = f" (repeat {run['repeat']})" if run.get("repeat") else ""
    return f"{run['status']}{which}: {run['verdict']}: {run['reason']}; expected: {run.get('outcome')} {run.get('outcome_reason') or ''}".rstrip()


def load(vmm, folder, only, tag, left_out, repeat, busy):
    """Return the TestFiles of a folder with runs that were chosen. left_out: of an ordinary run, beside what is long."""
    found = []
    for path in sorted(Path(folder).glob("*.test")):
        command = [vmm, "test", "--list", "--set", "in=/in", "--set", "guests=/guests", "--skip-tag", "micro"]
        command += ["--only", only] if only else []
        command += ["--tag", tag] if tag else []
        command += ["--skip-tag", "long"] if left_out else []
        told = subprocess.run([*command, path], check=False, text=True, capture_output=True)
        if told.returncode not in (0, 125):
            raise ValueError(f"{path}: {told.stderr.strip()}")
        names = [line.split("\t")[0].strip() for line in told.stdout.splitlines() if line.strip()]
        names = [name for name in names if not (left_out and re.search(left_out, name))]
        if names:
            found.append(TestFile(path, names, repeat, busy))
    return found
