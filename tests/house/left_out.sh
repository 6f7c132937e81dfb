#!/bin/bash
# Tests that CMake does not make where a tool is missing cannot say so themselves: they are listed
# here. usage: left_out.sh GO VALGRIND, each the tool's path as CMake found it
set -euo pipefail
note() { # need, test, why
    printf '%s\t%s\t%s\n' "$@" >>"${CIS_BUILD_DIR:?}/not-tested"
    echo "not tested: $*"
}
missing() { [ -z "$1" ] || [[ $1 == *-NOTFOUND ]]; }

if missing "$1"; then
    for test in skillabi_guests system_rows system_replay system_live programs_go examples_skills; do
        note go "$test" "there is no Go to build its guests with"
    done
fi
if missing "$2"; then
    note valgrind test_wasi_files_valgrind "there is no valgrind"
fi
