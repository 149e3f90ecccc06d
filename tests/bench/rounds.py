# SPDX-License-Identifier: Apache-2.0
"""Programs that take turns in an outer machine of the nested bed, whose clock counts instructions."""

import shutil
import tempfile
from pathlib import Path

from bedlib import images, kernels, nested, scenarios

QEMU = "qemu-system-x86_64"
SECONDS = 60  # for one program


class Unavailable(Exception):
    """This host cannot run it; the text says why."""


def _make_stage(options, stage):
    busybox = images.find_busybox()
    if not busybox or not shutil.which(QEMU):
        raise Unavailable("busybox-static and qemu-system-x86 are needed")
    try:
        kernel = kernels.get("cloud-6.1")
    except kernels.Unavailable as reason:
        raise Unavailable(str(reason)) from reason
    (stage / "initrd").mkdir(parents=True)
    (stage / "root").mkdir()
    images.place(options.build / "tests/system/drive", stage / "bin/drive")
    images.add_program(stage, "vmm", options.vmm)
    images.add_qemu(stage)
    (stage / "initrd/guest.img").write_bytes(images.guest_initrd(busybox))
    images.place(kernel.image, stage / "kernels/cloud-6.1")
    images.add_modules_folder(stage / "kernels", kernel)
    return kernel


def _write_job(job, commands):
    """All programs: should an outer machine be lost, just a round is."""
    lines = [f"export OUT=/out/{job.name} K=/in/kernels/cloud-6.1 I=/in/initrd/guest.img"]
    lines.append("find /in/ -type f | xargs cat > /dev/null")  # into the page cache, for all alike
    for index, command in enumerate(commands):
        lines.append(f"/in/bin/drive --timeout {SECONDS} --log $OUT/{index}.log --result $OUT/{index} -- {command}")
    job.mkdir(parents=True)
    (job / "run").write_text("\n".join(lines) + "\n")


def run(options, programs, add=lambda stage: None):
    """programs: {name: command line in the outer machine}, where $K and $I are the kernel and the initrd.

    Return {name: [(drive's result, log) of each round]}. Of a round that was lost it is said so."""
    results = Path(tempfile.mkdtemp(prefix="bench-rounds-", dir=options.build))
    stage = results / "stage"
    found = {name: [] for name in programs}
    try:
        kernel = _make_stage(options, stage)
        add(stage)
        jobs = {}
        for number in range(options.rounds):
            job = stage / "jobs" / f"{number:03}-round"
            _write_job(job, programs.values())
            jobs[job.name] = scenarios.Scenario(name=job.name, timeout=SECONDS / 2 * len(programs))
        # QEMU 7.2 has been seen to stall when it counts: that round is given up, and the others stand.
        for job, folder, lost in nested.run(jobs, stage, results, 1, kernel, 2048, 1, nested.PLAIN if options.plain else nested.COUNTED):
            if lost:
                print(f"{job}: {lost}")
                continue
            for index, name in enumerate(programs):
                result = dict(line.split("=", 1) for line in (folder / str(index)).read_text().splitlines())
                found[name].append((result, (folder / f"{index}.log").read_text(errors="replace")))
    finally:
        if options.keep:
            print(f"logs are in {results}")
        else:
            shutil.rmtree(results)
    return found
