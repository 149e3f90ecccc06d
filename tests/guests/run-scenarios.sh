#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Scenarios of `vmm test` with small guests, on this host's /dev/kvm; prints TAP.
#     run-scenarios.sh VMM GUEST_DIR FILE|DIR... [--OPTION...]
vmm=$1 guests=$2
shift 2
if ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
    echo "1..0 # SKIP no access to /dev/kvm"
    exit 77
fi
exec "$vmm" test --tag micro --set "guests=$guests" --tap - "$@"
