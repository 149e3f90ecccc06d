#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls that a library must not make, because they act on the whole process, and ones that nobody should make."""

import re

import common

LIBRARY = ("src/vmm/", "src/loader/", "src/devices/")
PROCESS_WIDE = [
    "exit", "_exit", "_Exit", "quick_exit", "abort", "g_abort", "assert", "g_assert", r"g_assert_\w+", "g_error", "g_critical",
    "g_warning", "g_message", "g_info", "g_debug", "g_log", "g_print", "g_printerr", "printf", "vprintf", "puts", "putchar",
    "perror", "err", "errx", "warn", "warnx", "signal", "sigaction", "sigprocmask", "getenv", "secure_getenv", "g_getenv",
    "setenv", "putenv", "unsetenv", "g_setenv", "chdir", "fchdir", "umask", "setlocale", "atexit", "system", "popen", "fork",
    "setrlimit", "openlog", "syslog", "srand", "g_set_prgname",
]
NEVER = ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "alloca", "g_alloca", "g_newa", "strtok", "tmpnam", "mktemp", "rand", "pthread_cancel"]
# These write to a stream; standard output and error are not the library's.
STREAMS = re.compile(r"\b(stdout|stderr|stdin)\b")
MUTABLE_STATIC = re.compile(r"^static (?!const\b|inline\b|_Thread_local\b|void\b)(?!.*\bconst\b)[\w\s*]+?\b(\w+)(\[[^\]]*\])*\s*(=|;)")


def pattern(names):
    # A member or a declaration's parameter of that name is another thing.
    return re.compile(r"(?<![\w.>])(?:" + "|".join(names) + r")\s*\(")


def main():
    problems = []
    process_wide, never = pattern(PROCESS_WIDE), pattern(NEVER)
    for path in common.files("*.c", "*.h"):
        in_library = path.as_posix().startswith(LIBRARY)
        if not path.as_posix().startswith(("src/", "examples/", "firmware/")):
            continue
        for number, line in enumerate(common.code_only(common.read(path)).splitlines(), 1):
            found = never.search(line) or (in_library and (process_wide.search(line) or STREAMS.search(line)))
            if found:
                problems.append(f"{path}:{number}: {found.group(0).rstrip(' (')}: not to be used here")
            if in_library and MUTABLE_STATIC.match(line):
                problems.append(f"{path}:{number}: a mutable static: several machines share a process")
            if in_library and re.search(r"__attribute__\s*\(\(\s*(constructor|destructor|section)", line):
                problems.append(f"{path}:{number}: no constructors and no linker sections")
    common.finish(problems)


if __name__ == "__main__":
    main()
