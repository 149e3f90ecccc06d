# SPDX-License-Identifier: Apache-2.0
"""vmm_bad.ko for each stock kernel: built with the headers that Debian has for it, once, and kept in the cache."""

import fcntl
import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from . import kernels

SOURCE = Path(__file__).resolve().parent.parent / "vmm_bad.c"


def _packages(release):
    """Return what has to be unpacked: the kernel's own headers, those of its version, and the programs of kbuild."""
    headers = f"linux-headers-{release}"
    shown = kernels.run("apt-cache", "show", "--no-all-versions", headers).stdout
    depends = re.search(r"^Depends: (.*)$", shown, re.M)
    found = re.findall(r"\b(linux-(?:headers-[^ ,]+-common|kbuild-[^ ,]+))", depends.group(1)) if depends else []
    if len(found) != 2:
        raise kernels.Unavailable(f"apt does not know {headers}, or what it needs: run `apt-get update` as root")
    return [headers, *found]


def _build(release, target):
    """The headers are built to lie at /usr/src, and need not: the one line that says so is changed."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        root, source = Path(folder, "root"), Path(folder, "source")
        root.mkdir()
        source.mkdir()
        kernels.unpack(_packages(release), root)
        tree = root / "usr/src" / f"linux-headers-{release}"
        makefile = tree / "Makefile"
        makefile.write_text(makefile.read_text().replace("/usr/src/", f"{root}/usr/src/"))
        shutil.copy(SOURCE, source)
        (source / "Kbuild").write_text("obj-m := vmm_bad.o\n")
        # BTF would need pahole, and nobody reads it.
        built = kernels.run("make", "-C", tree, f"M={source}", "CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules")
        if built.returncode != 0:
            complaint = " ".join(built.stderr.split())
            raise kernels.Unavailable(f"vmm_bad.ko for {release} cannot be built: {complaint[:300]}")
        kernels.run("strip", "-g", source / "vmm_bad.ko")
        (source / "vmm_bad.ko").rename(target)


def get(kernel):
    """Return the path of the module for a kernel, or raise kernels.Unavailable with the reason."""
    if not shutil.which("make") or not shutil.which("gcc"):
        raise kernels.Unavailable("gcc and make are needed to build vmm_bad.ko")
    folder = kernels.cache_folder() / "vmm_bad"
    folder.mkdir(parents=True, exist_ok=True)
    version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    target = folder / f"{kernel.release}-{version}.ko"
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _build(kernel.release, target)
    return target
