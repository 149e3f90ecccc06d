#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds vmm, and boots a stock Debian kernel with it to a shell. Without a terminal it
# boots, reports what the guest sees, and powers off.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}

scripts/deps.sh build
for program in busybox qemu-system-x86_64 mke2fs python3; do
    command -v "$program" > /dev/null || PATH=$PATH:/usr/sbin command -v "$program" > /dev/null || need=1
done
[ -z "${need:-}" ] || scripts/deps.sh run

[ -d "$build" ] || meson setup "$build" -Dtests=false > /dev/null
ninja --quiet -C "$build"
echo "# what vmm finds on this host:"
"$build/src/cli/vmm" doctor || true
echo
exec tests/system/demo "$build/src/cli/vmm"
