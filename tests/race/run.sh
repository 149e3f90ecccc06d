#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh PROBE PROGRAM: runs PROGRAM, or skips (exit 77) where the probe says that ThreadSanitizer cannot run.
if ! "$1"; then
    echo "ThreadSanitizer does not run here: skipped" >&2
    exit 77
fi
exec "$2"
