#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The kernel's own part of a recovery: what the manager has to do after the loss of a one-way region, done by raw sysfs
# writes as soon as each is possible. From "armed" to "carved N" nothing is forked: only builtins of the shell.
#
#   recover-raw.sh round SERIAL INSTANCES BYTES READY MARKER VM
#                    makes the region and instances with a VM on each, started by `VM NODE SERIAL-OUTPUT`, then READY;
#                    after a loss brings all back
#   recover-raw.sh clear SERIAL
#                    leaves nothing
#
# Each step is marked in the trace whose trace_marker is MARKER, so that it has the clock of the kernel's own records.
# Prints the names of the instances.
set -u

readonly verb=$1 serial=$2
readonly cxl=/sys/bus/cxl/devices dax=/sys/bus/dax
marker=/dev/null
exec {errors}>&2

fail() {
	printf 'recover-raw: %s\n' "$*" >&"$errors"
	exit 1
}

mark() { echo "raw $*" >"$marker"; }

# A pause without a process: nobody ever writes to this pipe.
pause() { read -rt 0.0005 -u "$idle"; }

# Until a write is taken: the kernel refuses what is not possible yet.
insist() {
	local tries=0
	until echo "$1" >"$2"; do
		((++tries < 4000)) || fail "$2 never took '$1'"
		pause
	done 2>/dev/null
}

# Until a command of this shell succeeds; 5 s at least.
await() {
	local tries=0
	until "$@"; do
		((++tries < 10000)) || fail "waited for '$*' in vain"
		pause
	done
}

find_memdev() {
	local one found
	for one in "$cxl"/mem*; do
		read -r found <"$one/serial"
		((found == serial)) && memdev=$one && return
	done
	fail "no memdev has serial $serial"
}

# The first decoder of the memdev's endpoint; empty while there is none.
find_decoder() {
	local one
	decoder=
	for one in "$cxl"/endpoint*/decoder*.0; do
		[[ ${one%/*}/uport -ef $memdev ]] && decoder=${one##*/}
	done
	[[ -n $decoder ]]
}

# The region object, if there is one: this host has room for one only.
find_region() {
	local one
	region=
	for one in "$cxl"/region*; do
		[[ -e $one/commit ]] && region=${one##*/}
	done
	[[ -n $region ]]
}

make_object() {
	local granularity
	read -r region <"$cxl/decoder0.0/create_ram_region"
	read -r granularity <"$cxl/decoder0.0/interleave_granularity"
	insist "$region" "$cxl/decoder0.0/create_ram_region"
	insist "$granularity" "$cxl/$region/interleave_granularity"
	insist 1 "$cxl/$region/interleave_ways"
	insist "$bytes_of_region" "$cxl/$region/size"
}

attach_leg() {
	insist ram "$cxl/$decoder/mode"
	insist "$bytes_of_region" "$cxl/$decoder/dpa_size"
	echo "$decoder" >"$cxl/$region/target0"
}

serves() { [[ -e $cxl/dax_region$number/dax_region/create && -e $dax/devices/dax$number.0/size ]]; }

# A region that serves instances, and gives none away by itself.
serve() {
	number=${region#region}
	insist "$region" /sys/bus/cxl/drivers/cxl_region/bind
	mark region bound
	await serves
	insist 0 "$dax/devices/dax$number.0/size"
}

# Into the object that the kernel kept, or into a new one where it kept none or does not take the leg again.
make_region() {
	if find_region && attach_leg 2>/dev/null; then
		mark region refilled
	else
		[[ -n $region ]] && insist "$region" "$cxl/decoder0.0/delete_region"
		[[ -e $cxl/$decoder ]] && echo 0 >"$cxl/$decoder/dpa_size"
		make_object
		attach_leg || fail "target0 of $region does not take $decoder"
		mark region made anew
	fi
	insist 1 "$cxl/$region/commit"
	mark region committed
	serve
}

usable() { [[ -e $dax/devices/$1/driver && -c /dev/$1 ]]; }

carve() {
	local one before=" " new=
	for one in "$cxl/dax_region$number/dax$number".*; do before+="${one##*/} "; done
	insist 1 "$cxl/dax_region$number/dax_region/create"
	for one in "$cxl/dax_region$number/dax$number".*; do
		[[ $before == *" ${one##*/} "* ]] || new=${one##*/}
	done
	insist "$1" "$dax/devices/$new/size"
	insist "$new" "$dax/drivers/device_dax/new_id"
	insist "$new" "$dax/drivers/device_dax/remove_id"
	await usable "$new"
	instances+=("$new")
}

remove_instances() {
	local one
	for one in "$dax"/devices/dax*; do
		one=${one##*/}
		[[ $one == dax*.0 || ! -e $dax/devices/$one ]] && continue
		[[ -e $dax/devices/$one/driver ]] && insist "$one" "$dax/drivers/device_dax/unbind"
		insist 0 "$dax/devices/$one/size"
		insist "$one" "$cxl/dax_region${region#region}/dax_region/delete"
	done
}

# --- nothing of this is timed -----------------------------------------------------------------------------------------

prepare() {
	local one said
	if find_region && read -r said <"$cxl/$region/commit" && ((said)); then
		number=${region#region}
		remove_instances
	else
		make_region
	fi
	instances=()
	for ((one = 0; one < n; one++)); do carve "$bytes"; done
	victims=() directories=()
	for one in "${instances[@]}"; do
		directories+=("$(readlink -f "$dax/devices/$one")")
		rm -f "/run/daxmgr-lab/raw-$one"
		bash "$vm" "/dev/$one" "/run/daxmgr-lab/raw-$one" &
		victims+=($!)
	done
	for one in "${instances[@]}"; do
		until grep -qs BEAT "/run/daxmgr-lab/raw-$one"; do sleep 0.05; done
	done
}

clear_all() {
	find_region || return
	remove_instances
	insist "$region" "$cxl/decoder0.0/delete_region"
	insist 0 "$cxl/$decoder/dpa_size"
}

# --- the round --------------------------------------------------------------------------------------------------------

memdev_lost() { [[ ! -e $memdev/driver ]]; }
memdev_back() { [[ -e $memdev/driver ]] && find_decoder; }

# As the daemon does it: an exit while the kernel unbinds the instance is not safe (docs/operations.md). The link below
# bus/dax goes before the unbind, the directory after it.
kill_what_is_unbound() {
	local one
	for one in "${!victims[@]}"; do
		[[ -e ${directories[one]} ]] && continue
		kill -KILL "${victims[one]}"
		unset "victims[one]"
	done
	((${#victims[@]} == 0))
}

bring_back() {
	local one
	await memdev_lost
	mark memdev lost
	kill -STOP "${victims[@]}"
	await kill_what_is_unbound
	wait
	mark processes gone
	await memdev_back
	mark memdev back
	make_region
	instances=()
	for ((one = 1; one <= n; one++)); do
		carve "$bytes"
		mark carved "$one"
	done
}

exec {idle}<> <(:)
find_memdev
find_decoder || fail "${memdev##*/} is not bound"
read -r bytes_of_region <"$memdev/ram/size"
echo 0 >"$dax/drivers_autoprobe"
trap 'echo 1 >"$dax/drivers_autoprobe"' EXIT

case $verb in
round)
	readonly n=$3 bytes=$4 ready=$5 vm=$7
	prepare
	marker=$6
	: >"$ready"
	bring_back
	chown daxlab-vm "${instances[@]/#//dev/}"
	mark nodes given
	printf '%s\n' "${instances[@]}"
	;;
clear) clear_all ;;
*) fail "unknown verb '$verb'" ;;
esac
