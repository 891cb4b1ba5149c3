#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# customize.sh TREE: makes a Debian tree the lab's guest. A host that boots fast, does nothing by itself, keeps
# no state, and is driven through the guest agent. Nothing here keeps kmem away: that is the product's job.
set -eu

tree=$1

echo lab >"$tree/etc/hostname"
printf '127.0.0.1 localhost lab\n' >"$tree/etc/hosts"
: >"$tree/etc/resolv.conf"
# A known id and stamps: otherwise every boot is a first boot, with presets, ldconfig and hwdb runs.
echo 6461786d67722d6c61622d6775657374 >"$tree/etc/machine-id"

# No line for the root: the initrd mounts it as it is to be, and systemd need not wait for udev to find it.
cat >"$tree/etc/fstab" <<'END'
tmpfs    /tmp             tmpfs mode=1777                                                      0 0
product  /run/lab/product 9p   ro,nofail,trans=virtio,version=9p2000.L,msize=262144            0 0
out      /run/lab/out     9p   rw,nofail,trans=virtio,version=9p2000.L,msize=262144,cache=none 0 0
END

cat >"$tree/etc/modules-load.d/lab.conf" <<'END'
9p
9pnet_virtio
cxl_acpi
cxl_pci
cxl_mem
cxl_pmem
device_dax
dax_cxl
END
# Loaded by hardware match for no use here; each costs boot time under emulation.
for module in bochs vga16fb sg ahci serio_raw lpc_ich psmouse i2c_i801 iTCO_wdt pcspkr ppdev parport_pc floppy sr_mod cdrom; do
	echo "blacklist $module"
done >"$tree/etc/modprobe.d/lab.conf"

mkdir -p "$tree/etc/systemd/journald.conf.d" "$tree/etc/systemd/coredump.conf.d" "$tree/etc/systemd/system.conf.d"
cat >"$tree/etc/systemd/journald.conf.d/lab.conf" <<'END'
[Journal]
Storage=volatile
RuntimeMaxUse=128M
RateLimitIntervalSec=0
ForwardToConsole=no
ForwardToWall=no
END
printf '[Coredump]\nStorage=none\nProcessSizeMax=0\n' >"$tree/etc/systemd/coredump.conf.d/lab.conf"
printf '[Manager]\nDefaultTimeoutStopSec=20s\nDumpCore=no\nStatusUnitFormat=name\n' >"$tree/etc/systemd/system.conf.d/lab.conf"
printf 'kernel.core_pattern=|/bin/false\nkernel.panic=-1\n' >"$tree/etc/sysctl.d/90-lab.conf"

for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
	fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer systemd-firstboot.service \
	systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service networking.service \
	systemd-timesyncd.service systemd-resolved.service systemd-random-seed.service systemd-boot-update.service \
	systemd-pcrmachine.service systemd-pcrphase.service systemd-pstore.service systemd-machine-id-commit.service \
	systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-update-done.service \
	systemd-ask-password-wall.path systemd-ask-password-console.path systemd-binfmt.service \
	systemd-udev-settle.service systemd-rfkill.socket systemd-hibernate-resume.service \
	keyboard-setup.service console-setup.service getty@tty1.service serial-getty@ttyS0.service \
	getty-static.service getty.target proc-sys-fs-binfmt_misc.automount \
	sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount modprobe@fuse.service \
	cxl-monitor.service rasdaemon.service ras-mc-ctl.service ldconfig.service systemd-logind.service systemd-user-sessions.service modprobe@drm.service modprobe@efi_pstore.service; do
	ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
ln -sf /usr/lib/systemd/system/multi-user.target "$tree/etc/systemd/system/default.target"

touch "$tree/etc/.updated" "$tree/var/.updated"
rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/*.bin "$tree"/usr/share/doc/* "$tree"/usr/share/man/*
