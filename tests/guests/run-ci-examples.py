#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The templates of examples/ci, used as their readers would use them, with the small kernel that is among them.

    run-ci-examples.py VMM EXAMPLES     prints TAP

What the templates install is not installed here: those lines are only parsed by a shell.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

try:
    import yaml
except ImportError:
    yaml = None

VMM, EXAMPLES = Path(), Path()
BUILD = re.compile(r"^ \*     (cc .*)$", re.M)
# What belongs to the machine that the job runs on.
INSTALLS = re.compile(r"\b(sudo|apt-get|git clone|meson|ninja)\b")


class Failed(Exception):
    """A template does not do what it should."""


class Skipped(Exception):
    """It cannot be tried here."""


def expect(condition, *what):
    if not condition:
        raise Failed(" ".join(str(part) for part in what))


def run(folder, *command, **variables):
    """Return (exit code, output) of a command that finds vmm as it finds everything else."""
    environment = {**os.environ, "PATH": f"{VMM.parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def copy(folder, *names):
    for name in names:
        shutil.copy(EXAMPLES / name, folder)


def build(folder, value="0x10"):
    """The kernel, by the line that its head tells; it ends with that value."""
    source = (EXAMPLES / "hobby-os.S").read_text()
    (folder / "hobby-os.S").write_text(source.replace("ALL_TESTS_PASSED, 0x10", f"ALL_TESTS_PASSED, {value}"))
    code, told = run(folder, "sh", "-c", BUILD.search(source).group(1))
    expect(code == 0, "hobby-os.S is not built:", told)


def check_shell(folder):
    """run.sh: reports, and 0 for a kernel that is well"""
    copy(folder, "run.sh", "hobby-os.test")
    build(folder)
    code, told = run(folder, "./run.sh", "hobby-os.test")
    expect(code == 0, "exit code", code, told)
    for name in ("junit.xml", "results.json", "index.html"):
        expect((folder / "results" / name).stat().st_size > 0, name, "is empty")


def check_shell_failure(folder):
    """run.sh: 1 for one that is not, and where to look"""
    copy(folder, "run.sh", "hobby-os.test")
    build(folder, "0x11")
    code, told = run(folder, "./run.sh", "hobby-os.test", RESULTS="elsewhere")
    expect(code == 1 and "open elsewhere/index.html" in told, "exit code", code, told)
    tree = xml.etree.ElementTree.parse(folder / "elsewhere/junit.xml")
    expect(len(tree.findall(".//failure")) == 1, "junit.xml has no failure")


def check_shell_unknown(folder):
    """run.sh: 125 where it cannot be told"""
    copy(folder, "run.sh", "hobby-os.test")
    code, told = run(folder, "./run.sh", "hobby-os.test")
    expect(code == 125 and "what this host lacks" in told, "exit code", code, told)


def check_shell_usage(folder):
    """run.sh: 2 for a scenario that makes no sense, which is no fault of the host"""
    copy(folder, "run.sh")
    (folder / "odd.test").write_text("[test]\nnonsense = 1\n")
    code, told = run(folder, "./run.sh", "odd.test")
    expect(code == 2 and 'no key "nonsense"' in told and "this host lacks" not in told, "exit code", code, told)


def read_yaml(name):
    if yaml is None:
        raise Skipped("python3-yaml is needed")
    return yaml.safe_load((EXAMPLES / name).read_text())


def run_steps(folder, shell, scripts, **variables):
    """Run those that belong to the tests, and have the others parsed. Return the exit code and output of the last one."""
    code, told = 0, ""
    for script in scripts:
        if INSTALLS.search(script):
            parsed, said = run(folder, "bash", "-n", "-c", script)
            expect(parsed == 0, "a step is no shell:", said)
            continue
        expect(code == 0, "a step fails:", told)
        code, told = run(folder, *shell, script, **variables)
    return code, told


def github_steps():
    workflow = read_yaml("github-actions.yml")
    expect(set(workflow) == {"name", True, "jobs"}, "keys of the workflow:", *workflow)  # YAML takes "on" for true
    return [step["run"] for step in workflow["jobs"]["boot"]["steps"] if "run" in step]


def check_github(folder):
    """github-actions.yml: its steps boot a kernel"""
    copy(folder, "hobby-os.test")
    build(folder)
    code, told = run_steps(folder, ["bash", "-e", "-o", "pipefail", "-c"], github_steps(), GITHUB_ACTIONS="true")
    expect(code == 0, "exit code", code, told)
    expect((folder / "junit.xml").exists() and (folder / "report/index.html").exists(), "no reports")


def check_github_failure(folder):
    """github-actions.yml: what fails is an annotation"""
    copy(folder, "hobby-os.test")
    build(folder, "0x11")
    code, told = run_steps(folder, ["bash", "-e", "-o", "pipefail", "-c"], github_steps(), GITHUB_ACTIONS="true")
    expect(code == 1 and re.search(r"^::error .*hobby-os\.test", told, re.M), "exit code", code, told)


def check_gitlab(folder):
    """gitlab-ci.yml: its lines boot a kernel"""
    copy(folder, "hobby-os.test")
    build(folder)
    job = read_yaml("gitlab-ci.yml")["boot"]
    code, told = run_steps(folder, ["sh", "-e", "-c"], job["before_script"] + job["script"])
    expect(code == 0, "exit code", code, told)
    expect((folder / job["artifacts"]["reports"]["junit"]).exists(), "no report")
    expect(job["allow_failure"]["exit_codes"] == 125, "125 is no failure of the kernel")


def git(folder, *arguments):
    code, told = run(folder, "git", "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments)
    expect(code == 0, "git", *arguments, told)
    return told


def check_bisect(folder):
    """git bisect run finds the commit, past one that cannot be built"""
    if not shutil.which("git"):
        raise Skipped("git is needed")
    scenario = folder / "hobby-os.test"
    tree = folder / "tree"
    tree.mkdir()
    scenario.write_text((EXAMPLES / "hobby-os.test").read_text())
    git(tree, "init", "-q")
    source = (EXAMPLES / "hobby-os.S").read_text()
    for number in range(1, 9):
        text = source + f"/* change {number} */\n"
        text = text.replace("ALL_TESTS_PASSED, 0x10", "ALL_TESTS_PASSED, 0x11") if number >= 6 else text
        text = text + "no instruction\n" if number == 4 else text
        (tree / "hobby-os.S").write_text(text)
        git(tree, "add", "hobby-os.S")
        git(tree, "commit", "-q", "-m", f"change {number}")
    git(tree, "bisect", "start", "HEAD", "HEAD~7")
    told = git(tree, "bisect", "run", "sh", "-c", f"{BUILD.search(source).group(1)} || exit 125; exec vmm test --quiet {scenario}")
    found = re.search(r"([0-9a-f]+) is the first bad commit", told)
    expect(found and git(tree, "log", "-1", "--format=%s", found.group(1)).strip() == "change 6", told)


def check_scenarios(folder):
    """each scenario makes sense"""
    for path in sorted(EXAMPLES.glob("*.test")):
        code, told = run(folder, "vmm", "test", "--list", str(path))
        expect(code == 0 and told.startswith(path.stem), path.name, told)


CASES = [check_scenarios, check_shell, check_shell_failure, check_shell_unknown, check_shell_usage, check_github, check_github_failure, check_gitlab, check_bisect]


def main():
    global VMM, EXAMPLES
    VMM, EXAMPLES = (Path(argument).resolve() for argument in sys.argv[1:3])
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no access to /dev/kvm")
        return 77
    print(f"1..{len(CASES)}", flush=True)
    failures = 0
    for number, check in enumerate(CASES, 1):
        wrong = skipped = None
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(Path(folder))
            except Failed as reason:
                wrong = str(reason)
            except Skipped as reason:
                skipped = str(reason)
        failures += wrong is not None
        print(f"{'not ok' if wrong else 'ok'} {number} - {check.__doc__}{' # SKIP ' + skipped if skipped else ''}")
        for line in (wrong or "").splitlines():
            print(f"# {line}")
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
