#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom. A folder's rule is the one of its longest prefix below."""

import re

import common

CORE = ["vmm/core/", "vmm/error.h"]
DEVICES = ["devices/"]
RULES = {
    "src/vmm/core": CORE,
    "src/loader": CORE + ["loader/"],
    "src/devices": CORE + DEVICES,
    "src/devices/block": CORE + ["devices/block/"],
    "src/devices/net": CORE + ["devices/net/"],
    "src/devices/chardev": CORE + ["devices/chardev/"],
    "src/vmm/arch": CORE + DEVICES + ["loader/", "vmm/arch/"],
    "src/vmm": CORE + DEVICES + ["loader/", "vmm/", "vmm-init/protocol.h"],
    "src/cli": [],
    "examples": [],
    "firmware": [],
    "firmware/vmm-init": [],
}
# The public headers are all that a program of ours may use, as any other program would.
INSTALLED_ONLY = ("src/cli", "examples")
# Guests know nothing of the host's program: headers of the same folder, or firmware/common, and no more.
GUESTS = ("firmware", "firmware/vmm-init")
ARCH_MACRO = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*\b(__x86_64__|__i386__|__aarch64__|__amd64__|__riscv)")


def rule_for(path):
    prefixes = [prefix for prefix in RULES if path.as_posix().startswith(prefix + "/")]
    return max(prefixes, key=len) if prefixes else None


def public_headers():
    """The headers that vmm.h brings in, and itself."""
    text = common.read("src/vmm/vmm.h")
    return {"vmm/vmm.h", "vmm/export.h"} | set(re.findall(r'#include "(vmm/[a-z-]+\.h)"', text))


def check_include(path, prefix, kind, name, public):
    if prefix in GUESTS:
        if kind == "<":
            return "nothing of the host's program" if name.startswith(("vmm/", "loader/", "devices/", "glib")) else None
        if prefix == "firmware/vmm-init" and not (common.ROOT / prefix / name).is_file():
            return "only headers of its own folder"
        return None if "/" not in name else "only headers of its own folder, and of firmware/common"
    if prefix in INSTALLED_ONLY:
        if kind == "<":
            return None if name == "vmm/vmm.h" or not name.startswith(("vmm/", "loader/", "devices/")) else "only <vmm/vmm.h> of libvmm"
        return None if "/" not in name else "only <vmm/vmm.h> of libvmm, and headers of its own folder"
    if kind == "<":
        return "headers of the project are included with quotes" if name.startswith(("vmm/", "loader/", "devices/")) else None
    if f"src/{path.relative_to('src').as_posix()}" == path.as_posix() and path.relative_to("src").as_posix() in public and name not in public:
        return "a public header may include public headers only"
    # A header beside the file itself is named without its folder, or in full.
    if "/" not in name or any(name == allowed or name.startswith(allowed) for allowed in RULES[prefix]):
        return None
    return f"{prefix} may include only {', '.join(RULES[prefix])}"


def main():
    problems = []
    public = public_headers()
    for path in common.files("*.c", "*.h"):
        prefix = rule_for(path)
        if prefix is None:
            continue
        for number, line in enumerate(common.read(path).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            wrong = check_include(path, prefix, *found.groups(), public) if found else None
            if wrong:
                problems.append(f"{path}:{number}: includes {found.group(2)}: {wrong}")
            if prefix != "src/vmm/arch" and ARCH_MACRO.match(line):
                problems.append(f"{path}:{number}: only src/vmm/arch may ask for the architecture")
    common.finish(problems)


if __name__ == "__main__":
    main()
