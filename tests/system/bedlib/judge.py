# SPDX-License-Identifier: Apache-2.0
"""Says what is wrong with a scenario's outcome, in words; an empty list means that it passed."""

import json
import re


def read_result(folder):
    """Return drive's key=value file as a dict; empty where the scenario never came that far."""
    path = folder / "result"
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text(errors="replace").splitlines() if "=" in line)


def read_report(console):
    """Return {key: [values]} of the guest's @key: value lines."""
    report = {}
    for key, value in re.findall(r"^@([a-z-]+): ?(.*?)\r*$", console, re.M):
        report.setdefault(key, []).append(value)
    return report


def _check_exit(scenario, result):
    wanted = scenario.exit if isinstance(scenario.exit, list) else [scenario.exit]
    if result.get("timeout") == "1":
        return [f"did not end within {scenario.timeout:g} s (scaled), and was killed"]
    if "signal" in result:
        return [] if f"signal {result['signal']}" in wanted else [f"was ended by signal {result['signal']}"]
    got = int(result["exit"])
    return [] if got in wanted else [f"exit code {got}, not {' or '.join(map(str, wanted))}"]


def _check_devices(console):
    report = read_report(console)
    wrong = [f"the guest says: {line}" for line in report.get("device-fault", [])]
    if "devices-end" not in report:
        wrong.append("the guest's device tests did not come to their end")
    return wrong


def _lookup(document, path):
    for part in path.split("."):
        if not isinstance(document, dict) or part not in document:
            return None, False
        document = document[part]
    return document, True


def _matches(value, wanted):
    if isinstance(wanted, dict):
        return isinstance(value, (int, float)) and wanted.get("min", value) <= value <= wanted.get("max", value)
    if isinstance(wanted, str) and wanted.startswith("~"):
        return re.search(wanted[1:], str(value)) is not None
    return type(value) is type(wanted) and value == wanted


def _check_json(scenario, folder):
    path = folder / "vmm.json"
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as reason:
        return [f"vmm.json cannot be read: {reason}"]
    wrong = []
    for key, wanted in scenario.json.items():
        value, there = _lookup(document, key)
        if not there:
            wrong.append(f"vmm.json has no {key}")
        elif not _matches(value, wanted):
            wrong.append(f"vmm.json: {key} is {value!r}, not {wanted!r}")
    return wrong


def find_faults(scenario, folder):
    """Return the list of what is wrong."""
    result = read_result(folder)
    if not result:
        return ["there is no result: the bed could not run it (see run.log)"]
    log = folder / "console.log"
    # A terminal ends its lines with \r\n, and a guest's console once more.
    console = re.sub(r"\r+\n", "\n", log.read_text(errors="replace")) if log.exists() else ""
    wrong = _check_exit(scenario, result)
    if result.get("script", "ok") != "ok":
        wrong.append(f"the conversation stopped at: {result['script']}")
    wrong += [f"the console never says /{text}/" for text in scenario.console if not re.search(text, console, re.M)]
    wrong += [f"the console says /{text}/" for text in scenario.console_not if re.search(text, console, re.M)]
    if scenario.tests_devices:
        # What the guest says may go to another console, whose file is beside.
        others = [path.read_text(errors="replace") for path in sorted(folder.glob("*.log")) if path != log]
        wrong += _check_devices("\n".join([console, *others]))
    if scenario.json:
        wrong += _check_json(scenario, folder)
    if result.get("after", "0") != "0":
        lines = (folder / "after.log").read_text(errors="replace").splitlines() if (folder / "after.log").exists() else []
        wrong.append(f"after the end: {' | '.join(lines[-4:])}")
    if scenario.termios and result.get("termios") != scenario.termios:
        wrong.append(f"the terminal's modes were {result.get('termios')}, not {scenario.termios}")
    return wrong
