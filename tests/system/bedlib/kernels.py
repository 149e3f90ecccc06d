# SPDX-License-Identifier: Apache-2.0
"""Stock Debian kernels for the tests: fetched with apt and unpacked into a cache, never installed."""

import fcntl
import lzma
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Name in the scenarios -> the metapackage that Debian 12 keeps pointed at the newest build.
METAPACKAGES = {
    "cloud-6.1": "linux-image-cloud-amd64",
    "generic-6.1": "linux-image-amd64",
    "cloud-6.12": "linux-image-6.12-cloud-amd64",
    "generic-6.12": "linux-image-6.12-amd64",
}


class Unavailable(Exception):
    """This host cannot give the kernel; the text says why, and the tests that need it are skipped."""


@dataclass(frozen=True)
class Kernel:
    name: str
    release: str
    image: Path
    modules: Path

    def find_module(self, name):
        """Return the bytes of module `name`, decompressed, or None where it is built in or absent."""
        pattern = re.compile(re.escape(name).replace("_", "[-_]").replace(r"\-", "[-_]") + r"\.ko(\.xz)?$")
        for folder, _, files in os.walk(self.modules):
            for entry in files:
                if pattern.match(entry):
                    data = Path(folder, entry).read_bytes()
                    return lzma.decompress(data) if entry.endswith(".xz") else data
        return None

    def with_dependencies(self, names):
        """Return [(file name, bytes)] in load order. The .deb has no modules.dep, so .modinfo is asked."""
        ordered = {}

        def add(name):
            name = name.replace("-", "_")
            if name in ordered:
                return
            data = self.find_module(name)
            if data is None:
                return
            found = re.search(rb"\0depends=([^\0]*)\0", b"\0" + data)
            for dependency in found.group(1).decode().split(",") if found else []:
                if dependency:
                    add(dependency)
            ordered[name] = data

        for name in names:
            add(name)
        return [(name + ".ko", data) for name, data in ordered.items()]


def cache_folder():
    base = os.environ.get("VMM_TEST_CACHE")
    if base:
        return Path(base)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmm-tests"


def run(*command, **options):
    return subprocess.run(command, check=False, text=True, capture_output=True, **options)


def _resolve(metapackage):
    """Return (package, version) of the image that `metapackage` depends on."""
    shown = run("apt-cache", "show", "--no-all-versions", metapackage).stdout
    found = re.search(r"^Depends: .*?(linux-image-[^ ,]+) \(= ([^)]+)\)", shown, re.M)
    if not found:
        raise Unavailable(f"apt does not know {metapackage}: run `apt-get update` as root, on Debian 12")
    return found.group(1), found.group(2)


def _newest_cached(cache, name):
    """Return the newest unpacked kernel of that name, for hosts without a network."""
    kept = sorted((cache / name).glob("*/.complete"), key=lambda path: path.stat().st_mtime)
    return kept[-1].parent if kept else None


def _unpacked(name, folder):
    image = sorted((folder / "boot").glob("vmlinuz-*"))[0]
    release = image.name.removeprefix("vmlinuz-")
    modules = folder / "lib/modules" / release
    if not modules.is_dir():
        modules = folder / "usr/lib/modules" / release
    return Kernel(name, release, image, modules)


def unpack(packages, folder):
    """Fetch packages (NAME or NAME=VERSION) and unpack them into an existing folder."""
    fetched = run("apt-get", "-q", "download", *packages, cwd=folder)
    archives = list(folder.glob("*.deb"))
    if fetched.returncode != 0 or len(archives) != len(packages):
        complaint = (fetched.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unavailable(f"apt-get download {' '.join(packages)} failed: {complaint}")
    for archive in archives:
        unpacked = run("dpkg", "-x", str(archive), str(folder))
        if unpacked.returncode != 0:
            raise Unavailable(f"dpkg -x {archive.name} failed: {unpacked.stderr.strip()}")
        archive.unlink()


def _download(package, version, folder):
    """Fetch one kernel so that an interrupted run leaves nothing that looks whole."""
    parts = folder.with_name(folder.name + ".part")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    try:
        unpack([f"{package}={version}"], parts)
        (parts / ".complete").touch()
        shutil.rmtree(folder, ignore_errors=True)
        parts.rename(folder)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def get(name):
    """Return the kernel called `name`, fetching it if the cache does not have the present version."""
    cache = cache_folder()
    (cache / name).mkdir(parents=True, exist_ok=True)
    with open(cache / name / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if not shutil.which("apt-get") or not shutil.which("dpkg"):
                raise Unavailable("apt-get and dpkg are needed to fetch Debian's kernels; this is not a Debian system")
            package, version = _resolve(METAPACKAGES[name])
            folder = cache / name / f"{package}_{version}".replace("/", "_").replace(":", "_")
            if not (folder / ".complete").exists():
                _download(package, version, folder)
            (folder / ".complete").touch()
        except Unavailable:
            folder = _newest_cached(cache, name)
            if folder is None:
                raise
    return _unpacked(name, folder)
