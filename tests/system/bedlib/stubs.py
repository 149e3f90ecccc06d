# SPDX-License-Identifier: Apache-2.0
"""Keeps guests' programs small: libraries that the tests never call are replaced by empty ones.

Debian's fio needs libraries of 80 MB for storage that no guest here has. Its loader wants them, with the symbols that
the program names, and nothing more; so a library takes their place that has these symbols and does nothing.
"""

import re
import subprocess
from pathlib import Path

# What programs really use. Everything else that they are linked with is a stub.
KEPT = re.compile(r"/(ld-linux[^/]*|lib(c|m|z|aio|numa|dl|rt|pthread|ext2fs|com_err|blkid|uuid|e2p|iperf|crypto|ssl|sctp)\.so[^/]*)$")


def _lines(*command):
    return subprocess.run(command, check=False, text=True, capture_output=True).stdout.splitlines()


def _symbols(path, *options):
    """Return {dynamic symbol: its version or ""}. Weak ones that are undefined need not be there."""
    lines = [line.split() for line in _lines("nm", "-D", *options, path)]
    names = [words[-1].replace("@@", "@").partition("@") for words in lines if len(words) > 1 and words[-2] not in "wv"]
    return {name: version for name, _, version in names}


def _needed(path):
    return [found.group(1) for line in _lines("readelf", "-d", path) if (found := re.search(r"NEEDED.*\[(.*)\]", line))]


def _make(folder, symbols):
    source, versions = folder / "stub.c", folder / "stub.map"
    source.write_text("".join(f"void {name} (void) {{ __builtin_trap (); }}\n" for name in sorted(symbols)))
    groups = {version: [name for name in symbols if symbols[name] == version] for version in set(symbols.values()) - {""}}
    versions.write_text("".join(f"{version} {{ global: {'; '.join(names)}; }};\n" for version, names in groups.items()))
    built = subprocess.run(["cc", "-w", "-shared", "-fPIC", "-nostdlib", f"-Wl,--version-script={versions}",
                            "-o", folder / "stub.so", source], check=False)
    data = (folder / "stub.so").read_bytes() if built.returncode == 0 else None
    for name in ("stub.c", "stub.map", "stub.so"):
        (folder / name).unlink(missing_ok=True)
    return data


def libraries(program, folder):
    """Return {path: bytes} of what the program's loader must find."""
    listed = {}
    for line in _lines("ldd", program):
        found = re.search(r"(?:(\S+) => )?(/\S+) \(0x", line)
        if found:
            listed[found.group(1) or found.group(2)] = found.group(2)
    kept = {name: path for name, path in listed.items() if KEPT.search(path)}
    stubbed = [name for name in _needed(program) if name in listed and name not in kept]
    if not stubbed:
        return {path: Path(path).read_bytes() for path in listed.values()}
    offered = set().union(*(_symbols(path, "--defined-only") for path in kept.values()))
    wanted = _symbols(program, "--undefined-only")
    stub = _make(folder, {name: wanted[name] for name in wanted.keys() - offered})
    if stub is None:
        return {path: Path(path).read_bytes() for path in listed.values()}
    found = {path: Path(path).read_bytes() for path in kept.values()}
    found.update({listed[name]: stub for name in stubbed})
    return found
