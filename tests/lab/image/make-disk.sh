#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# make-disk.sh DIR MIB: from DIR/tree make DIR/disk.img, DIR/vmlinuz and DIR/initrd. Runs in the build root.
#
# The initrd is our own because it boots in a second where Debian's needs several under emulation: the few
# modules the root disk needs, in load order, and init.
set -eu

dir=$1
mib=$2
here=$(dirname "$0")
tree=$dir/tree

version=$(ls "$tree/usr/lib/modules" | sort -V | tail -n 1)
for kernel in "$tree/boot/vmlinuz-$version" "$tree/usr/lib/modules/$version/vmlinuz"; do
	[ -f "$kernel" ] && break
done
cp "$kernel" "$dir/vmlinuz"
echo "$version" >"$dir/version"

depmod -b "$tree" "$version"
initrd=$dir/initrd.tree
mkdir -p "$initrd/bin" "$initrd/modules" "$initrd/dev" "$initrd/proc" "$initrd/sys" "$initrd/root"
cp /usr/bin/busybox "$initrd/bin/busybox"
install -m 0755 "$here/initrd-init" "$initrd/init"
number=100
modprobe -d "$tree" -S "$version" --show-depends -a virtio_pci virtio_blk ext4 |
	awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
	while read -r module; do
		number=$((number + 1))
		name=$(basename "$module" | sed 's/\.ko.*//')
		case $module in
		*.xz) xz -dc "$module" ;;
		*.zst) zstd -dcq "$module" ;;
		*) cat "$module" ;;
		esac >"$initrd/modules/$number-$name.ko"
	done
(cd "$initrd" && find . | LC_ALL=C sort | cpio --quiet -o -H newc | zstd -q -3) >"$dir/initrd"
rm -rf "$initrd"

mke2fs -q -t ext4 -O ^has_journal -E lazy_itable_init=1 -m 0 -L lab -d "$tree" "$dir/disk.img" "${mib}M"
