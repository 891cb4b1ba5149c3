# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# The Debian roots that ./dev works in, sourced by ./dev:
#   build root    Debian 13 with compilers, libraries and QEMU
#   guest images  disk.img, vmlinuz and initrd of the lab's guests: stock (kernel from trixie-backports), lts (trixie)
#
# Each is kept in the cache under a hash of what determines it, made under a temporary name and renamed into
# place. Changing a package list, a recipe function or a file in tests/lab/image makes a new one; './dev clean
# --cache' drops all, which is also the way to take newer packages of the same release.

readonly SUITE=trixie
readonly MIRROR_DEFAULT=http://deb.debian.org/debian
readonly RELEASE_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

# Everything else comes from plain trixie, also in the build root, so that the product is built for the baseline.
readonly BACKPORTS_BUILD="src:qemu src:seabios src:ipxe src:edk2"
readonly BACKPORTS_GUEST_STOCK="$BACKPORTS_BUILD src:linux src:linux-signed-amd64 src:linux-base"

readonly PACKAGES_BUILD="
	gcc libc6-dev clang libclang-rt-dev lld clang-format clang-tidy llvm
	cmake ninja-build ccache pkgconf git gdb-minimal strace procps jq python3
	libsystemd-dev libcxl-dev libdaxctl-dev libndctl-dev liburing-dev libnuma-dev libtracefs-dev
	libtraceevent-dev libsqlite3-dev libeconf-dev libsmartcols-dev libcriterion-dev
	sqlite3 systemd asciidoctor mandoc gcovr spin
	qemu-system-x86 qemu-utils e2fsprogs kmod xz-utils zstd cpio busybox-static"

readonly PACKAGES_GUEST="
	systemd systemd-sysv dbus udev kmod util-linux procps
	libsystemd0 libcxl1 libdaxctl1 libndctl6 liburing2 libnuma1 libtracefs1 libtraceevent1 libsqlite3-0
	libeconf0 libsmartcols1
	qemu-guest-agent qemu-system-x86 sqlite3 strace jq python3-minimal cxl daxctl kexec-tools
	rasdaemon
	linux-image-amd64 tiny-initramfs"

readonly GUEST_DISK_MIB=3000

cache_root=${DAXMGR_CACHE:-/var/cache/daxmgr-dev}
image_recipe_dir=tests/lab/image

# The mirror the host itself uses for its release, so that a site's own mirror is honoured.
mirror_uri() {
	local codename uri
	if [[ -n ${DAXMGR_MIRROR:-} ]]; then
		echo "${DAXMGR_MIRROR%/}"
		return
	fi
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' 2>/dev/null |
		awk -v codename="$codename" '$1 ~ /^https?:/ && $2 == codename && $3 == "main" { print $1; exit }')
	uri=${uri:-$MIRROR_DEFAULT}
	echo "${uri%/}"
}

# The host's proxies and validity rules, as mmdebstrap options: one per line.
host_apt_options() {
	apt-config dump 2>/dev/null |
		grep -E '^Acquire::(https?::.*Proxy.*|https?::Pipeline-Depth|Check-Valid-Until|Check-Date|Retries|ForceIPv4|ForceIPv6) ' |
		sed -e 's/;$//' -e 's/^/--aptopt=/'
}

content_key() {
	sha256sum | cut -c1-16
}

build_root_key() {
	{ declare -f make_debian_root recipe_build_root; echo "$SUITE $PACKAGES_BUILD $BACKPORTS_BUILD"; } | content_key
}

guest_image_key() {
	local kernel=$1
	{
		declare -f make_debian_root recipe_guest_image
		echo "$kernel $SUITE $PACKAGES_GUEST $BACKPORTS_GUEST_STOCK $GUEST_DISK_MIB"
		find "$image_recipe_dir" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
	} | content_key
}

build_root_path() {
	echo "$cache_root/build-root-$(build_root_key)"
}

guest_image_path() {
	echo "$cache_root/guest-$1-$(guest_image_key "$1")"
}

install_host_tools() {
	local missing=() tool
	for tool in mmdebstrap:mmdebstrap flock:util-linux setpriv:util-linux apt-get:apt; do
		command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
	done
	[[ -e $RELEASE_KEYS ]] || missing+=(debian-archive-keyring)
	((${#missing[@]})) || return 0
	say "Installing on this machine: ${missing[*]}"
	{
		# A broken third-party source makes update fail although Debian's own lists are there.
		apt-get -qq update || :
		DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}"
	} >"$cache_root/log/host-tools.log" 2>&1 ||
		fail_with_log "$cache_root/log/host-tools.log" "cannot install ${missing[*]} with apt-get"
}

# make_debian_root DIR BACKPORTS PACKAGES [mmdebstrap option…]
make_debian_root() {
	local dir=$1 backports=$2 packages=$3 mirror apt_options debs=$cache_root/debs
	shift 3
	mirror=$(mirror_uri)
	mapfile -t apt_options < <(host_apt_options)
	mkdir -p "$debs"
	export PREFERENCES=""
	if [[ -n $backports ]]; then
		PREFERENCES=$(printf 'Package: %s\nPin: release n=%s-backports\nPin-Priority: 600\n' "$backports" "$SUITE")
	fi
	local sources=("deb $mirror $SUITE main" "deb $mirror $SUITE-updates main")
	[[ -n $backports ]] && sources+=("deb $mirror $SUITE-backports main")
	# shellcheck disable=SC2016 # the hooks expand their own variables
	SOURCE_DATE_EPOCH='' INITRD=No DEBS=$debs mmdebstrap --mode=root --variant=minbase --arch=amd64 \
		--keyring="$RELEASE_KEYS" "${apt_options[@]}" \
		--aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--skip=download/empty --skip=essential/unlink \
		--setup-hook='mkdir -p "$1/etc/apt/preferences.d"; printf "%s\n" "$PREFERENCES" >"$1/etc/apt/preferences.d/backports"' \
		--setup-hook='mkdir -p "$1/var/cache/apt/archives"; find "$DEBS" -name "*.deb" -exec cp -lft "$1/var/cache/apt/archives" {} +' \
		--customize-hook='find "$1/var/cache/apt/archives" -name "*.deb" -exec cp -lft "$DEBS" {} + 2>/dev/null || :' \
		--include="$(tr -s '[:space:]' ',' <<<"$packages" | sed 's/^,//; s/,$//')" \
		"$@" "$SUITE" "$dir" "${sources[@]}"
}

recipe_build_root() {
	local dir=$1
	make_debian_root "$dir" "$BACKPORTS_BUILD" "$PACKAGES_BUILD" &&
		mkdir -p "$dir/src" "$dir/ccache" "$dir/lab-images" &&
		rm -f "$dir/etc/resolv.conf" "$dir/etc/hostname"
}

# Runs on the host up to the finished tree; the file system and the initrd are made with the build root's tools.
recipe_guest_image() {
	local dir=$1 kernel=$2 backports=""
	[[ $kernel == stock ]] && backports=$BACKPORTS_GUEST_STOCK
	make_debian_root "$dir/tree" "$backports" "$PACKAGES_GUEST" \
		--dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/gpu/*' \
		--dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/media/*' \
		--dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/net/wireless/*' \
		--dpkgopt='path-exclude=/usr/lib/modules/*/kernel/sound/*' \
		--customize-hook="sh $(printf '%q' "$PWD/$image_recipe_dir/customize.sh") \"\$1\"" &&
		enter_root --bind "$dir" /image -- sh "$image_recipe_dir/make-disk.sh" /image "$GUEST_DISK_MIB" &&
		rm -rf "$dir/tree"
}

# make_cached NAME PATH MESSAGE RECIPE [ARG…]: does nothing but a time stamp when PATH is there.
make_cached() {
	local name=$1 path=$2 message=$3 recipe=$4 log=$cache_root/log/$1.log temporary start
	shift 4
	if [[ ! -d $path ]]; then
		mkdir -p "$cache_root/log"
		exec {lock}>"$cache_root/$name.lock"
		flock -n "$lock" || { say "Waiting for another ./dev that makes the $name"; flock "$lock"; }
		if [[ ! -d $path ]]; then
			install_host_tools
			say "$message (log: $log)"
			start=$SECONDS
			rm -rf --one-file-system "$cache_root/tmp.$name".*
			temporary=$cache_root/tmp.$name.$$
			mkdir -p "$temporary"
			contained "$recipe" "$temporary" "$@" >"$log" 2>&1 ||
				fail_with_log "$log" "cannot make the $name"
			mv -T "$temporary" "$path"
			say "  made in $((SECONDS - start)) s"
			prune_cache
		fi
		exec {lock}>&-
	fi
	touch "$path/.last-used" 2>/dev/null || :
}

# What no run has used for two weeks; other clones may be at other versions of the recipes.
prune_cache() {
	local entry
	for entry in "$cache_root"/build-root-* "$cache_root"/guest-*-*; do
		[[ -d $entry && -n $(find "$entry/.last-used" -mtime +14 2>/dev/null) ]] || continue
		say "Removing ${entry##*/}, unused for two weeks"
		rm -rf --one-file-system "$entry"
	done
	find "$cache_root/debs" -name '*.deb' -links 1 -atime +60 -delete 2>/dev/null || :
}

ensure_build_root() {
	make_cached build-root "$(build_root_path)" \
		"Making the Debian 13 build root, about 2 minutes, once" recipe_build_root
}

ensure_guest_image() {
	local kernel=$1
	case $kernel in
	stock | lts) ;;
	*) fail "unknown guest kernel '$kernel': 'stock' or 'lts'" ;;
	esac
	ensure_build_root
	make_cached "guest-$kernel" "$(guest_image_path "$kernel")" \
		"Making the lab's guest image '$kernel', about 2 minutes, once" recipe_guest_image "$kernel"
}
