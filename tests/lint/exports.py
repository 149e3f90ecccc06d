#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library's functions: headers, version map, the built library, documentation and libvmm(3) say the same."""

import re
import subprocess
import sys

import common

DECLARATION = re.compile(r"^VMM_EXPORT\s[^;{]*?\b(vmm_\w+)\s*\([^;]*;", re.M | re.S)


def declared():
    """{function: header}"""
    found = {}
    for path in common.files("*.h", under="src/vmm"):
        for name in DECLARATION.findall(common.code_only(common.read(path))):
            found[name] = path
    return found


def documented():
    """{function: whether its block says Since:}, of the gtk-doc blocks beside the definitions."""
    found = {}
    for path in common.files("*.c", under="src"):
        for block in re.findall(r"/\*\*\n(.*?)\*/", common.read(path), re.S):
            name = re.match(r" \* (vmm_\w+):", block)
            if name:
                found[name.group(1)] = block
    return found


def undocumented_parameters(name, block, header):
    """Return the parameters that the header's declaration has and the block does not explain."""
    text = common.code_only(common.read(header))
    arguments = re.search(rf"\b{name}\s*\(([^;]*)\)[^;)]*;", text, re.S)
    names = re.findall(r"(\w+)\s*(?:\[[^\]]*\])?\s*(?:,|$)", arguments.group(1)) if arguments else []
    return [each for each in names if each not in ("void", "error") and f"@{each}" not in block]


def main():
    problems = []
    headers, docs = declared(), documented()
    map_text = re.sub(r"/\*.*?\*/|#.*", "", common.read("src/vmm/libvmm.map"), flags=re.S)
    in_map = set(re.findall(r"\b(vmm_\w+);", map_text))
    for name in sorted(set(headers) - in_map):
        problems.append(f"{headers[name]}: {name} is declared as exported, and not in libvmm.map")
    for name in sorted(in_map - set(headers)):
        problems.append(f"src/vmm/libvmm.map: {name} is in no public header")
    for name in sorted(headers):
        if name not in docs:
            problems.append(f"{headers[name]}: {name} has no documentation block at its definition")
            continue
        for parameter in undocumented_parameters(name, docs[name], headers[name]):
            problems.append(f"{headers[name]}: {name}: the documentation does not explain @{parameter}")
    in_manual = set(re.findall(r"^\.Fn (vmm_\w+) ", common.read("man/libvmm.3"), re.M))
    for name in sorted(in_map - in_manual):
        problems.append(f"man/libvmm.3: the synopsis does not have {name}")
    for name in sorted(in_manual - in_map):
        problems.append(f"man/libvmm.3: there is no {name}")
    if len(sys.argv) > 1:
        listed = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", sys.argv[1]], check=True, text=True, capture_output=True).stdout
        built = {line.split()[0].split("@")[0] for line in listed.splitlines() if line.split()[1] != "A"}
        problems += [f"libvmm.so exports {name}, which is not in libvmm.map" for name in sorted(built - in_map)]
        problems += [f"libvmm.so does not export {name}, which is in libvmm.map" for name in sorted(in_map - built)]
    common.finish(problems)


if __name__ == "__main__":
    main()
