# shellcheck shell=bash
#
# What the scripts of this repository share: installing the Debian packages behind the commands they need, and servers that run for a
# while. Sourced by them; does nothing by itself.

# Daemons live in sbin, which is not in every user's path.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

die() {
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}

updated=no
# Installs packages without starting any daemon that they bring.
install_packages() {
    if ! command -v apt-get >/dev/null; then
        die "these packages are missing, and only Debian's apt-get is known here: $*"
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        die "these packages are missing, and installing them needs root or sudo: apt-get install --no-install-recommends $*"
    fi
    echo "Installing with apt-get: $*"
    # Debian asks this program before it starts a service; 101 means no. One that stands there already is the owner's word.
    local policy=/usr/sbin/policy-rc.d made=no status=0
    if [ ! -e "$policy" ]; then
        made=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    if [ "$updated" = no ]; then
        apt_get update || status=$?
        updated=yes
    fi
    if [ "$status" -eq 0 ]; then
        apt_get install -y --no-install-recommends "$@" || status=$?
    fi
    if [ "$made" = yes ]; then
        as_root rm -f "$policy"
    fi
    [ "$status" -eq 0 ] || die "apt-get failed (exit code $status)"
}

# install_missing THING=PACKAGE[,PACKAGE]…: installs the packages of the commands and files that are not there, in one go.
install_missing() {
    local pair thing packages=() more
    for pair in "$@"; do
        thing=${pair%%=*}
        if ! command -v "$thing" >/dev/null && [ ! -e "$thing" ]; then
            IFS=, read -ra more <<<"${pair#*=}"
            packages+=("${more[@]}")
        fi
    done
    if [ "${#packages[@]}" -gt 0 ]; then
        install_packages "${packages[@]}"
    fi
}

# Cargo itself cannot come from Debian 12, whose version is too old.
require_cargo() {
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null; then
        die "cargo $needed or newer is needed: https://rustup.rs"
    fi
    found=$(cargo --version | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
        die "cargo $needed or newer is needed, this is $found: rustup update"
    fi
}

# Where cargo puts what it builds, wherever the environment or a configuration moved it.
target_directory() {
    cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# free_port DEFAULT: the default, or the next port in steps of a hundred that nobody listens on.
free_port() {
    local port
    for port in $(seq "$1" 100 $(($1 + 10000))); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    die "found no free port from $1 on"
}

# wait_for NAME PID LOG URL: until the URL answers with success.
wait_for() {
    local _
    for _ in $(seq 150); do
        if curl -fs -m 2 -o /dev/null "$4"; then
            return
        fi
        if ! kill -0 "$2" 2>/dev/null; then
            break
        fi
        sleep 0.1
    done
    echo "The last lines of its log:" >&2
    tail -n 20 "$3" >&2
    die "$1 did not come up at $4"
}

random() {
    od -An -N12 -tx1 /dev/urandom | tr -d ' \n'
}

# end_processes PID…: asks them to end, and sees that they do.
end_processes() {
    local pid _
    for pid in "$@"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "$@"; do
        # All drain within moments; a process that does not is not waited for for ever.
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}
