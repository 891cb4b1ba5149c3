#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A recovery by hand: what the manager has to do after the loss of a one-way region, done by raw sysfs writes as soon as
# each is possible. From the loss to "nodes given" nothing is forked: only builtins of the shell, and raw_hand.py, which
# was there before, for what has none.
#
#   recover-raw.sh round SERIAL INSTANCES BYTES READY MARKER UNIT USER
#                    makes the region and instances with a VM on each, then READY; after a loss brings all back, and
#                    ends when all VMs run again
#   recover-raw.sh clear SERIAL UNIT
#                    leaves nothing
#
# The VMs are UNIT@raw0.service and so on, which systemd restarts by itself. Their launchers wait for the name of a node
# in a fifo; it is written here as soon as the node is USER's.
#
# Each step is marked in the trace whose trace_marker is MARKER, so that it has the clock of the kernel's own records.
# Prints the names of the instances.
set -u

readonly verb=$1 serial=$2
readonly fifos=/run/daxmgr-lab output=/run/daxmgr-vm
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

# The node of an instance to the VM that is to have it; its launcher may come later.
give() { echo "give /dev/$1 $fifos/$2.fifo" >&"${hand[1]}"; }

# --- nothing of this is timed -----------------------------------------------------------------------------------------

prepare() {
	local one said
	if find_region && read -r said <"$cxl/$region/commit" && ((said)); then
		number=${region#region}
		remove_instances
	else
		make_region
	fi
	instances=() directories=()
	for ((one = 0; one < n; one++)); do
		carve "$bytes"
		directories+=("$(readlink -f "$dax/devices/${instances[one]}")")
	done
	start_vms
	for ((one = 0; one < n; one++)); do give "${instances[one]}" "${names[one]}"; done
	await_beats "*START*BEAT*"
	read -rd '' -a victims < <(systemctl show -P MainPID "${units[@]}")
	((${#victims[@]} == n)) || fail "processes of VMs: ${victims[*]}"
}

# Their launchers wait, each for its fifo. That is kept open here, so that what is written waits for a launcher.
start_vms() {
	local one keep # a descriptor each; nothing is ever done with it
	coproc hand { exec python3 "${0%/*}/raw_hand.py" "$(id -u "$user")" "$(id -g "$user")"; }
	names=() units=()
	for ((one = 0; one < n; one++)); do
		names+=("raw$one") units+=("$unit@raw$one.service")
		rm -f "$output/raw$one.serial" "$fifos/raw$one.fifo"
		mkfifo -m 0644 "$fifos/raw$one.fifo" || fail "no fifo"
		# shellcheck disable=SC2034
		exec {keep}<>"$fifos/raw$one.fifo"
	done
	systemctl start "${units[@]}" || fail "the VMs do not start"
}

# Until what each VM has printed matches.
await_beats() {
	local name said
	for name in "${names[@]}"; do
		said=
		# shellcheck disable=SC2053
		until [[ $said == $1 ]]; do
			read -rt 0.1 -u "$idle"
			[[ -e $output/$name.serial ]] && read -rd '' said <"$output/$name.serial"
		done
	done
}

clear_all() {
	systemctl stop "$unit@*.service"
	rm -f "$fifos"/raw*.fifo "$output"/raw*
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
	echo "gone ${victims[*]}" >&"${hand[1]}"
	await memdev_lost
	mark memdev lost
	kill -STOP "${victims[@]}"
	await kill_what_is_unbound
	read -r <&"${hand[0]}"
	mark processes gone
	await memdev_back
	mark memdev back
	make_region
	instances=()
	for ((one = 1; one <= n; one++)); do
		carve "$bytes"
		mark carved "$one"
		give "${instances[-1]}" "${names[one - 1]}"
	done
	mark nodes given
}

exec {idle}<> <(:)
find_memdev
find_decoder || fail "${memdev##*/} is not bound"
read -r bytes_of_region <"$memdev/ram/size"
echo 0 >"$dax/drivers_autoprobe"
trap 'echo 1 >"$dax/drivers_autoprobe"' EXIT

case $verb in
round)
	readonly n=$3 bytes=$4 ready=$5 unit=$7 user=$8
	prepare
	marker=$6
	: >"$ready"
	bring_back
	await_beats "*START*START*BEAT*"
	printf '%s\n' "${instances[@]}"
	;;
clear)
	readonly unit=$3
	clear_all
	;;
*) fail "unknown verb '$verb'" ;;
esac
