# SPDX-License-Identifier: Apache-2.0
"""Which bed this host can offer."""

import json
import subprocess


def choose_bed(wanted, vmm):
    """Return "direct" or "nested", and why. Names of CPUs and features say nothing: vmm measures."""
    if wanted != "auto":
        return wanted, "asked for"
    try:
        told = subprocess.run([vmm, "doctor", "--json"], capture_output=True, text=True, timeout=60, check=False).stdout
        kvm = json.loads(told).get("kvm", {})
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return "nested", "`vmm doctor` gave no answer"
    if kvm.get("ring0_fast") is True:
        return "direct", "/dev/kvm runs ring 0 natively"
    return "nested", f"/dev/kvm does not run ring 0 natively (ring0_mips {kvm.get('ring0_mips', 'unknown')})"
