#!/usr/bin/env bash
#
# Counts the instructions of the functions that a request meets, and holds them against those that are written down.

set -euo pipefail

usage() {
    cat <<'HELP'
usage: tests/instructions.sh build
       tests/instructions.sh run
       tests/instructions.sh renew

  build    builds what is counted, and installs valgrind if it is missing
  run      counts; a function that takes over 3 % more or less than benches/instructions/baseline.txt says has failed
  renew    writes what it counts there: say in the commit what has made it more

Instructions do not vary as time does: a few in a thousand, from hash seeds and keys. With another rustc than that of
the baseline, or on another kind of processor, they are only printed.
HELP
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/debian.sh
. tests/debian.sh

baseline=benches/instructions/baseline.txt
limit=3
calls=1000

# What makes the same source into other instructions: the compiler, and what the processor has that cryptography is
# chosen by.
circumstances() {
    rustc -vV | sed -n 's/^release: /rustc /p; s/^host: /host /p'
    printf 'cpu%s\n' "$(sed -n '/^flags/{p;q}' /proc/cpuinfo | tr ' ' '\n' |
        grep -xE 'adx|avx2|bmi2|pclmulqdq|rdrand|sha_ni' | sort -u | sed 's/^/ /' | tr -d '\n')"
}

# Kept outside the clone, because building it takes minutes.
target=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-ci/instructions-target
program=$target/release/instructions

# count NAME: its instructions in one call.
count() {
    local output
    if ! output=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
        --toggle-collect='*instructions*counted*' "$program" "$1" "$calls" 2>&1); then
        printf '%s\n' "$output" >&2
        return 1
    fi
    printf '%s %s\n' "$1" "$(($(sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' <<<"$output") / calls))"
}

count_all() {
    sed -n '/^pub(crate) const NAMES/,/^];/s/^ *"\(.*\)",$/\1/p' benches/functions/mod.rs |
        xargs -P "$(nproc)" -I{} "${BASH_SOURCE[0]}" count {}
}

renew() {
    local counted
    counted=$(count_all | sort)
    {
        echo '# Instructions of one call, counted and renewed by tests/instructions.sh.'
        circumstances
        echo "$counted"
    } >"$baseline"
    cat "$baseline"
}

# judge NAME COUNT SAME: one of the lines that `tests/run` counts.
judge() {
    local name=$1 now=$2 same=$3 before difference
    before=$(sed -n "s/^$name \([0-9]*\)$/\1/p" "$baseline")
    if [ -z "$before" ]; then
        printf 'test instructions::%s ... FAILED\n' "$name"
        printf '  %s instructions; %s does not know it: tests/instructions.sh renew\n' "$now" "$baseline"
        return 1
    fi
    difference=$(awk -v now="$now" -v before="$before" 'BEGIN { printf "%+.1f %%", (now / before - 1) * 100 }')
    local change=$((now - before))
    if [ "$same" = yes ] && [ "$((${change#-} * 100))" -gt "$((limit * before))" ]; then
        printf 'test instructions::%s ... FAILED\n' "$name"
        printf '  %s instructions, %s from %s. If that is meant: tests/instructions.sh renew\n' \
            "$now" "$difference" "$before"
        return 1
    fi
    printf 'test instructions::%s ... ok (%s, %s)\n' "$name" "$now" "$difference"
}

run() {
    local same=yes passed=0 failed=0 name now counted
    if [ ! -x "$program" ]; then
        echo "What is counted is not built: tests/instructions.sh build"
        return 1
    fi
    if [ "$(circumstances)" != "$(grep -E '^(rustc|host|cpu)' "$baseline")" ]; then
        same=no
        printf 'Not judged, since the baseline is of\n%s\nand this is\n%s\n' \
            "$(grep -E '^(rustc|host|cpu)' "$baseline")" "$(circumstances)"
    fi
    if ! counted=$(count_all | sort); then
        printf 'test instructions ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n'
        return 1
    fi
    while read -r name now; do
        if judge "$name" "$now" "$same"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
        fi
    done <<<"$counted"
    if [ "$failed" -gt 0 ]; then
        printf 'test result: FAILED. %s passed; %s failed; 0 ignored\n' "$passed" "$failed"
        return 1
    fi
    printf 'test result: ok. %s passed; 0 failed; 0 ignored\n' "$passed"
}

build() {
    install_missing valgrind=valgrind
    # The same versions of everything as in the gateway.
    cp Cargo.lock benches/instructions/Cargo.lock
    CARGO_TARGET_DIR=$target cargo build --release --manifest-path benches/instructions/Cargo.toml
}

case "${1:-}" in
    build) build ;;
    run) run ;;
    renew) renew ;;
    count) count "$2" ;;
    *) usage ;;
esac
