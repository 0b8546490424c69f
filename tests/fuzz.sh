#!/usr/bin/env bash
#
# Builds the fuzz targets of `fuzz`, or lets each of them look for a while.

set -euo pipefail

usage() {
    cat <<'HELP'
usage: tests/fuzz.sh build
       tests/fuzz.sh run [SECONDS]

  build    builds all targets, and installs cargo-fuzz if it is missing; both stay in ~/.cache/tidegate-ci
  run      lets each target look for SECONDS (default 10), beginning with its corpus; prints one line for each, and how many found nothing

Both need a nightly toolchain (`rustup toolchain install nightly`). Without one, or without cargo-fuzz, they say so and do nothing:
`tests/corpora.rs` replays the corpora on any toolchain. What is found is kept in fuzz/artifacts; mended, it goes into fuzz/corpus.
HELP
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Kept outside the clone, because building it takes minutes.
version=0.13.2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-ci
home=$cache/cargo-fuzz-$version
target=$cache/fuzz-target
toolchain=nightly
built=$target/built

has_nightly() {
    command -v rustup >/dev/null && rustup run "$toolchain" cargo --version >/dev/null 2>&1
}

build() {
    rm -f "$built"
    if ! has_nightly; then
        echo "There is no nightly toolchain: nothing is fuzzed, the corpora are only replayed."
        return
    fi
    PATH=$home/bin:$PATH
    if ! command -v cargo-fuzz >/dev/null; then
        echo "Installing cargo-fuzz $version into $home"
        # Optimizing it would take longer than it ever runs.
        if ! CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-fuzz --version "$version" --locked --debug --quiet --root "$home" \
            --target-dir "$home/target"; then
            echo "cargo-fuzz could not be installed: nothing is fuzzed, the corpora are only replayed."
            return
        fi
        rm -rf "$home/target"
    fi
    # The same versions of everything as in the gateway; what only fuzzing needs is added.
    cp Cargo.lock fuzz/Cargo.lock
    # There is no unsafe code of ours for a sanitizer to watch, and without one a build takes half the time.
    CARGO_TARGET_DIR=$target cargo "+$toolchain" fuzz build --sanitizer none --codegen-units 16
    touch "$built"
}

targets() {
    local path
    for path in fuzz/fuzz_targets/*.rs; do
        basename "$path" .rs
    done
}

# look TARGET SECONDS: its last line is one of those that `tests/run` counts.
look() {
    local target=$1 seconds=$2 new program options=()
    program=$(echo "$cache"/fuzz-target/*/release/"$target")
    new=$(mktemp -d)
    mkdir -p "fuzz/artifacts/$target"
    if [ -f "fuzz/dictionaries/$target" ]; then
        options+=("-dict=fuzz/dictionaries/$target")
    fi
    # What it finds new is not kept: a corpus grows on purpose.
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$target/" "${options[@]}" "$new" "fuzz/corpus/$target" >"$new.log" 2>&1; then
        printf 'test fuzz::%s ... ok (%s)\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$new.log") runs"
        printf 'test result: ok. 1 passed; 0 failed; 0 ignored\n'
    else
        tail -n 40 "$new.log"
        printf 'test fuzz::%s ... FAILED\n' "$target"
        printf 'test result: FAILED. 0 passed; 1 failed; 0 ignored\n'
    fi
    rm -rf "$new" "$new.log"
}

run() {
    local seconds=${1:-10} results
    if [ ! -f "$built" ]; then
        echo "The fuzz targets are not built: nothing is fuzzed."
        return
    fi
    results=$(mktemp)
    targets | xargs -P "$(nproc)" -I{} "${BASH_SOURCE[0]}" look {} "$seconds" | tee "$results"
    if grep -q '^test result: FAILED' "$results"; then
        rm -f "$results"
        return 1
    fi
    rm -f "$results"
}

case "${1:-}" in
    build) build ;;
    run) run "${2:-}" ;;
    look) look "$2" "$3" ;;
    *) usage ;;
esac
