#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs scenarios where there is nothing but a shell: cron, a git hook, Jenkins, Buildbot.
#
#     ./run.sh SCENARIO...        the reports go to $RESULTS, or ./results
#
# Ends with 0 when all passed, 1 when something failed, and 125 when it could not be told (no /dev/kvm, no kernel): that
# is a broken runner and no broken kernel, and should not be reported as one. A scenario that makes no sense gives 2.
set -eu
results=${RESULTS:-results}
mkdir -p "$results"
code=0
vmm test --junit "$results/junit.xml" --json "$results/results.json" --html "$results/index.html" --results "$results" "$@" || code=$?
case $code in
1) echo "failed; open $results/index.html" >&2 ;;
125)
    echo "nothing can be said of the kernel; what this host lacks:" >&2
    vmm doctor >&2 || true
    ;;
esac
exit "$code"
