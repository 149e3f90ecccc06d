#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is needed, builds, and runs all tests that this host can run: every suite with the ordinary build,
# then units, fuzz corpora and micro-guests once more under AddressSanitizer and UndefinedBehaviorSanitizer.
# The last line says how many tests passed, failed and were skipped.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
asan=$build-asan

scripts/deps.sh test

configure() { # configure FOLDER OPTION...: set up, or set the options of what is there
    folder=$1
    shift
    if [ -d "$folder/meson-private" ]; then
        meson configure "$folder" -Dtests=true "$@"
    else
        meson setup "$folder" -Dtests=true "$@" > "$folder.log" 2>&1 || { cat "$folder.log" >&2; return 1; }
        rm -f "$folder.log"
    fi
    ninja --quiet -C "$folder"
}

configure "$build" ${WERROR:+-Dwerror=true}
configure "$asan" ${WERROR:+-Dwerror=true} -Dbuildtype=debug -Db_sanitize=address,undefined -Db_lundef=false

status=0
meson test -C "$build" --no-rebuild --print-errorlogs || status=1
ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    meson test -C "$asan" --no-rebuild --print-errorlogs --suite unit --suite fuzz --suite micro || status=1

python3 scripts/count-tests.py "$build" "$asan" || status=1
exit $status
