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
meson test -C "$build" --no-rebuild --print-errorlogs --logbase system --suite system || status=1

# Most of the other tests wait more than they compute, and many want to be alone in their suite: both builds' at once,
# and fewer of the quicker one.
half=$((($(nproc) + 1) / 2))
# A shell's background commands ignore SIGINT and SIGQUIT, which tests send to programs.
ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    env --default-signal=INT,QUIT \
    meson test -C "$asan" --no-rebuild --print-errorlogs --suite unit --suite fuzz --suite micro > "$asan/test.log" 2>&1 &
sanitized=$!
meson test -C "$build" --no-rebuild --print-errorlogs --num-processes $half --no-suite system || status=1
wait $sanitized || status=1
cat "$asan/test.log"

python3 scripts/count-tests.py "$build/meson-logs/system" "$build/meson-logs/testlog" "$asan/meson-logs/testlog" || status=1
exit $status
