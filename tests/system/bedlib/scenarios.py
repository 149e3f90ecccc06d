# SPDX-License-Identifier: Apache-2.0
"""Reads the scenario files, and turns each scenario into a job: a shell script that both beds can run."""

import re
import shlex
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from . import judge


@dataclass
class Scenario:
    """One run of vmm and what must come of it. tests/system/README.md explains the keys."""

    name: str
    kernel: str = ""
    initrd: list = field(default_factory=lambda: ["guest"])
    action: str = ""
    append: str = ""
    mem: str = "256M"
    cpus: str = ""
    args: list = field(default_factory=list)
    setup: str = ""
    after: str = ""
    transport: str = ""
    transports: list = field(default_factory=list)
    own_machine: bool = False
    needs: list = field(default_factory=list)
    tty: bool = False
    script: str = ""
    timeout: float = 90
    memory_needed: int = 0
    tags: list = field(default_factory=list)
    exit: object = 0
    console: list = field(default_factory=list)
    console_not: list = field(default_factory=list)
    json: dict = field(default_factory=dict)
    write_json: bool = True
    termios: str = ""
    command: list = field(default_factory=list)
    wrap: list = field(default_factory=list)

    @property
    def needed(self):
        """What has to be fetched for it."""
        return set(self.needs) | ({self.kernel} if self.kernel else set())

    @property
    def tests_devices(self):
        """The guest tells of its devices what is wrong with them, and that it has come to the end."""
        return bool(re.search(r"\bend\b|\bend-with-errors\b", self.action))

    @property
    def weight(self):
        return self.timeout

    def judge(self, folder):
        """Yield (name, [what is wrong], seconds)."""
        elapsed = judge.read_result(folder).get("elapsed_us")
        yield self.name, judge.find_faults(self, folder), int(elapsed) / 1e6 if elapsed else None

    def arguments(self, inputs, outputs):
        """Return vmm's arguments, with the paths that hold on the machine which runs it."""
        found = ["run"] if self.command else []
        found += ["--transport", self.transport] if self.transport else []
        if self.kernel:
            found += ["--kernel", f"{inputs}/kernels/{self.kernel}", "--mem", self.mem]
            for name in self.initrd if not self.command else []:
                image = f"{name}-{self.kernel}" if name in ("modules", "devices") else name
                found += ["--initrd", f"{inputs}/initrd/{image}.img"]
            words = ([f"vmmtest={self.action}"] if self.action else []) + ([self.append] if self.append else [])
            if words:
                found += ["--append", " ".join(words)]
            if self.cpus:
                found += ["--cpus", self.cpus]
            found += ["--json", f"{outputs}/vmm.json"] if self.write_json else []
        tail = ["--", *self.command] if self.command else []
        return found + [_fill_in(arg, inputs, outputs) for arg in self.args + tail]

    def write_job(self, folder, inputs, outputs, scale):
        """Write the job's script and its typist's script; `inputs` and `outputs` are as the job will see them."""
        folder.mkdir(parents=True)
        drive = [f"{inputs}/bin/drive", "--timeout", f"{self.timeout * scale:g}"]
        drive += ["--log", f"{outputs}/console.log", "--result", f"{outputs}/result"]
        if self.tty:
            drive.append("--tty")
        if self.script:
            script = re.sub(r"^(expect|run) (\d+)", lambda found: f"{found[1]} {int(found[2]) * scale:g}", self.script, flags=re.M)
            (folder / "script").write_text(_fill_in(script, inputs, outputs))
            drive += ["--script", f"{inputs}/jobs/{folder.name}/script"]
        command = drive + ["--"] + self.wrap + [f"{inputs}/bin/vmm"] + self.arguments(inputs, outputs)
        lines = ["# SPDX-License-Identifier: Apache-2.0", f"export IN={shlex.quote(inputs)} OUT={shlex.quote(outputs)}"]
        if "TMP" in self.setup + self.after or "{tmp}" in f"{self.args}{self.script}":
            lines += [f"export TMP={shlex.quote(outputs)}.tmp; mkdir -p $TMP; trap 'rm -rf $TMP' EXIT"]
        # Busybox's applets, and what the bed brings.
        lines += ["export PATH=$IN/bin:$PATH:/usr/sbin:/sbin"] if self.setup or self.after or "run " in self.script else []
        lines += [self.setup.strip()] if self.setup else []
        lines += [shlex.join(command)]
        if self.after:
            lines += [f"( set -ex\n{self.after.strip()}\n) > $OUT/after.log 2>&1; echo \"after=$?\" >> $OUT/result"]
        (folder / "run").write_text("\n".join(lines) + "\n")


def _fill_in(text, inputs, outputs):
    for key, value in {"{in}": inputs, "{out}": outputs, "{tmp}": outputs + ".tmp"}.items():
        text = text.replace(key, value)
    return text


def _expand(table, path):
    """One table gives one scenario, or one for each transport that it names."""
    known = {entry.name for entry in fields(Scenario)}
    unknown = set(table) - known
    if unknown or "name" not in table:
        raise ValueError(f"{path}: {table.get('name', 'a scenario')}: unknown or missing keys: {sorted(unknown) or 'name'}")
    if not table.get("transports"):
        return [Scenario(**table)]
    return [Scenario(**{**table, "name": f"{table['name']}/{value}", "transport": value}) for value in table["transports"]]


def load(folder):
    """Return the scenarios of all files in the folder, in order."""
    found = []
    for path in sorted(Path(folder).glob("*.toml")):
        with open(path, "rb") as stream:
            for table in tomllib.load(stream).get("scenario", []):
                found += _expand(table, path.name)
    names = [scenario.name for scenario in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: two scenarios have this name")
    return found
