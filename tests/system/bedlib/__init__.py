# SPDX-License-Identifier: Apache-2.0
"""The test bed of vmm: stock kernels, booted on /dev/kvm directly or nested in QEMU's emulator."""
