#!/usr/bin/env bash
#
# boot.sh DIRECTORY: starts systemd on a copy of this machine, runs DIRECTORY/script there as root, and ends with its exit code.
#
# The copy is an overlay: what is written stays in memory, and goes with the namespaces that all of this runs in. DIRECTORY is
# /mnt there. tests/e2e_deploy/package.rs calls this.

set -euo pipefail

if [ "${2-}" != inside ]; then
    # systemd wants control groups of its own: first a place for them, which a namespace of its own then takes for the whole.
    hierarchies=()
    for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup; do
        if [ -w "$hierarchy/cgroup.procs" ]; then
            hierarchies+=("$hierarchy")
        fi
    done
    own=tidegate-test-$$
    # shellcheck disable=SC2317  # the trap calls it
    clean() {
        local hierarchy
        for hierarchy in "${hierarchies[@]}"; do
            echo $$ >"$hierarchy/cgroup.procs"
            find "$hierarchy/$own" -depth -type d -exec rmdir {} +
        done
    }
    trap clean EXIT
    for hierarchy in "${hierarchies[@]}"; do
        mkdir "$hierarchy/$own"
        echo $$ >"$hierarchy/$own/cgroup.procs"
    done
    unshare --cgroup --mount --pid --ipc --uts --net --fork --kill-child --propagation private "$BASH" "$0" "$1" inside
    exit
fi

root=$1/root
mkdir -p "$root"
mount -t tmpfs none "$root"
mkdir "$root/upper" "$root/work" "$root/all"
mount -t overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" overlay "$root/all"
cd "$root/all"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs sysfs sys
if [ -e /sys/fs/cgroup/systemd ]; then
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
else
    mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount --bind "$1" mnt
# The last word on whether packages start services is then systemd's.
rm -f usr/sbin/policy-rc.d

# Nothing of the machine's own services: only the script, whose end is the end.
cat >etc/systemd/system/tidegate-test.service <<'UNIT'
[Unit]
DefaultDependencies=no
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=/bin/bash -eux /mnt/script
StandardOutput=append:/mnt/output
StandardError=inherit
UNIT

mkdir old
pivot_root . old
umount -l old
export container=tidegate-test
exec /lib/systemd/systemd --system --unit=tidegate-test.service --show-status=0 --log-target=console >>/mnt/console 2>&1
