#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# enter-root.sh ROOT MOUNTPOINT [--bind FROM TO]… -- COMMAND [ARG…]
#
# PID 1 of a fresh mount and PID namespace (./dev starts it with unshare): lays a throw-away overlay over ROOT,
# binds what is asked for into it and runs COMMAND there. Whatever ends this process ends all processes and
# mounts below it.
set -eu

root=$1
mountpoint=$2
shift 2

mount -t tmpfs -o mode=0755 daxmgr-dev "$mountpoint"
mkdir "$mountpoint"/{upper,work,root}
new=$mountpoint/root
# Relative paths: the cache may lie where overlay's option syntax cannot go.
(
	cd "$mountpoint"
	ln -s "$root" lower
	mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work daxmgr-dev root
)

mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$new/sys"
mount -t tmpfs -o mode=0755 tmpfs "$new/run"
mkdir -m 1777 "$new/run/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$new/dev"
mkdir "$new"/dev/{pts,shm}
mount -t tmpfs -o mode=1777 tmpfs "$new/dev/shm"
if mountpoint -q /dev/pts; then
	mount --bind /dev/pts "$new/dev/pts"
else
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$new/dev/pts"
fi
for node in null zero full random urandom tty ptmx kvm; do
	[ -e "/dev/$node" ] || continue
	: >"$new/dev/$node"
	mount --bind "/dev/$node" "$new/dev/$node"
done
ln -s /proc/self/fd "$new/dev/fd"
for descriptor in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${descriptor%%:*}" "$new/dev/${descriptor##*:}"
done

while [ "$1" != -- ]; do
	mkdir -p "$new$3"
	mount --bind "$2" "$new$3"
	shift 3
done
shift

# As PID 1 nothing has a default signal action here; bash would hold a trap back while a foreground command runs.
trap 'kill -TERM -1 2>/dev/null || :' TERM HUP
trap ':' INT QUIT
env --default-signal=INT,QUIT chroot "$new" "$@" <&0 &
command=$!
status=0
while :; do
	status=0
	wait "$command" || status=$?
	kill -0 "$command" 2>/dev/null || break
done
exit "$status"
