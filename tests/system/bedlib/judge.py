# SPDX-License-Identifier: Apache-2.0
"""Says what is wrong with a scenario's outcome, in words; an empty list means that it passed."""

import json
import re

# What a kernel may keep for itself: its image, page tables, per-CPU areas, and a share for the page descriptors.
RESERVE_KB = 80 * 1024
RESERVE_SHARE = 0.035
# Below 1 MiB some of the RAM is hidden behind the hole for the video memory and the BIOS.
LOW_HOLE_KB = 1024


def parse_size(text):
    """Return bytes for 512M and the like."""
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    return int(text[:-1]) << units[text[-1].upper()] if text[-1].upper() in units else int(text) << 20


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


def _check_memory(scenario, report):
    size = parse_size(scenario.mem) >> 10
    if "memory-map-kb" not in report or "memtotal-kb" not in report:
        return ["the guest did not report its memory"]
    mapped, total = int(report["memory-map-kb"][0]), int(report["memtotal-kb"][0])
    wrong = []
    if not size - LOW_HOLE_KB <= mapped <= size:
        wrong.append(f"the kernel was given {mapped} KiB by the memory map, of {size}")
    if total > size or total < size - RESERVE_KB - size * RESERVE_SHARE:
        wrong.append(f"MemTotal is {total} KiB, of {size}")
    return wrong


def _check_cpus(scenario, report):
    parts = (scenario.cpus or "1").split(",")
    count = int(parts[0])
    shape = {key: int(value) for key, value in (part.split("=") for part in parts[1:])}
    if "nproc" not in report:
        return ["the guest did not report its CPUs"]
    wrong = []
    if int(report["nproc"][0]) != count:
        wrong.append(f"nproc is {report['nproc'][0]}, not {count}")
    ids = [line.split()[1] for line in report.get("apicid", [])]
    if len(set(ids)) != count:
        wrong.append(f"{len(set(ids))} distinct APIC ids for {count} CPUs: {' '.join(ids)}")
    cpus = [dict(pair.split("=") for pair in line.split()[1:]) for line in report.get("cpu", [])]
    sockets = {cpu["socket"] for cpu in cpus}
    cores = {(cpu["socket"], cpu["core"]) for cpu in cpus}
    siblings = {cpu["siblings"] for cpu in cpus}
    if "sockets" in shape and len(sockets) != shape["sockets"]:
        wrong.append(f"{len(sockets)} sockets, not {shape['sockets']}")
    if "cores" in shape and len(cores) != shape["cores"] * len(sockets):
        wrong.append(f"{len(cores)} cores in {len(sockets)} sockets, not {shape['cores']} each")
    if "threads" in shape and len(siblings) * shape["threads"] != count:
        wrong.append(f"{len(siblings)} sets of sibling threads for {count} CPUs, not {shape['threads']} CPUs each")
    return wrong


def _check_log(_scenario, report):
    wrong = [f"the kernel complains: {line}" for line in report.get("complaint", [])[:5]]
    if "report-end" not in report:
        wrong.append("the guest's report is not complete")
    if not any("is a 16550A" in line for line in report.get("uart", [])):
        wrong.append(f"the serial port is not a 16550A: {report.get('uart', ['no ttyS0'])[0]}")
    return wrong


def _check_modules(_scenario, report):
    return [] if report.get("module") else ["no module was loaded: the second initrd is missing"]


def _check_rtc(_scenario, report):
    if not report.get("rtc"):
        return ["the guest has no RTC"]
    return []


def _check_devices(_scenario, report):
    wrong = [f"the guest says: {line}" for line in report.get("device-fault", [])]
    if "devices-end" not in report:
        wrong.append("the guest's device tests did not come to their end")
    return wrong


CHECKS = {"devices": _check_devices, "mem": _check_memory, "cpus": _check_cpus, "log": _check_log, "modules": _check_modules, "rtc": _check_rtc}


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


def judge(scenario, folder):
    """Return the list of what is wrong."""
    result = read_result(folder)
    if not result:
        return ["there is no result: the bed could not run it (see run.log)"]
    log = folder / "console.log"
    # A terminal ends its lines with \r\n, and a guest's console once more.
    console = re.sub(r"\r+\n", "\n", log.read_text(errors="replace")) if log.exists() else ""
    report = read_report(console)
    wrong = _check_exit(scenario, result)
    if result.get("script", "ok") != "ok":
        wrong.append(f"the conversation stopped at: {result['script']}")
    wrong += [f"the console never says /{text}/" for text in scenario.console if not re.search(text, console, re.M)]
    wrong += [f"the console says /{text}/" for text in scenario.console_not if re.search(text, console, re.M)]
    for name in scenario.check:
        wrong += CHECKS[name](scenario, report)
    if scenario.json:
        wrong += _check_json(scenario, folder)
    if result.get("after", "0") != "0":
        lines = (folder / "after.log").read_text(errors="replace").splitlines() if (folder / "after.log").exists() else []
        wrong.append(f"after the end: {' | '.join(lines[-4:])}")
    if scenario.termios and result.get("termios") != scenario.termios:
        wrong.append(f"the terminal's modes were {result.get('termios')}, not {scenario.termios}")
    seconds = int(result.get("elapsed_us", 0)) / 1e6
    if scenario.max_seconds and seconds > scenario.max_seconds:
        wrong.append(f"took {seconds:.1f} s, more than {scenario.max_seconds:g}")
    return wrong
