# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Builds the two cpio archives an emulated host boots from: the base (cached) and the payload.
# Sourced by tools/lab/lab, which provides die, die_start, $here, $cache and $work.

# Prints the .ko files that give KVM and the modules named in $4 (words), in the order of insertion.
# $1: unpacked kernel tree, $2: its version, $3: kvm-amd or kvm-intel, $5: directory of replacements or "".
module_files()
{
	local tree=$1 kver=$2 vendor=$3 extra=$4 replace=$5 name path file
	local -A seen=()
	for name in "$vendor" $extra; do
		modprobe -d "$tree" -S "$kver" --show-depends "$name" >"$work/depends" 2>&1 ||
			die_start "the kernel $kver has no module '$name': $(tail -n 1 "$work/depends")"
		while read -r verb path _; do
			[ "$verb" = insmod ] || continue
			file=$(basename "$path")
			file=${file%%.ko*}.ko
			[ -z "${seen[$file]-}" ] || continue
			seen[$file]=1
			if [ -n "$replace" ] && [ -f "$replace/$file" ]; then
				path=$replace/$file
			fi
			echo "$path"
		done <"$work/depends"
	done
}

# Copies module $1 into directory $2 as plain .ko. $3 = yes: without debug information.
unpack_module()
{
	local path=$1 name out
	name=$(basename "$path")
	out=$2/${name%%.ko*}.ko
	case $path in
		*.ko) cp "$path" "$out" ;;
		*.ko.xz) xz -dc "$path" >"$out" ;;
		*.ko.zst) zstd -qdc "$path" >"$out" ;;
		*.ko.gz) gzip -dc "$path" >"$out" ;;
		*) die_start "module in an unknown form: $path" ;;
	esac
	[ "$3" = no ] || strip -g -R .BTF -R .BTF_ids "$out"
	echo "${out##*/}" >>"$2/../modules.order"
}

# Packs the names on stdin (relative to the current directory) as a cpio archive on stdout, owned by root.
pack()
{
	cpio --quiet -o -H newc -R 0:0 --reproducible
}

# Prints the path of the base archive: busybox, init and modules. The files of the arguments are
# the modules in order; $1: strip them of debug information, yes or no; $2 = a static program to add as /lab/bochs-off or "".
base_image()
{
	local strip=$1 off=$2 key image stage
	shift 2
	key=$({
		cat "$here/init" "$here/image.sh" "$@"
		[ -z "$off" ] || cat "$off"
		cat /bin/busybox
		echo "$strip $*"
	} | sha256sum | cut -c1-32)
	image=$cache/images/$key.cpio
	if [ ! -f "$image" ]; then
		stage=$work/base
		mkdir -p "$cache/images" "$stage"/{bin,sbin,usr/bin,usr/sbin,lab/modules,etc,root}
		cp /bin/busybox "$stage/bin/busybox"
		/bin/busybox --list | while read -r applet; do
			[ "$applet" = busybox ] || ln -s busybox "$stage/bin/$applet"
		done
		cp "$here/init" "$stage/init"
		chmod 755 "$stage/init"
		echo 'root:x:0:0:root:/root:/bin/sh' >"$stage/etc/passwd"
		echo 'root:x:0:' >"$stage/etc/group"
		: >"$stage/lab/modules.order"
		for module in "$@"; do
			unpack_module "$module" "$stage/lab/modules" "$strip"
		done
		[ -z "$off" ] || cp "$off" "$stage/lab/bochs-off"
		(cd "$stage" && find . -mindepth 1 | LC_ALL=C sort | pack) >"$work/base.cpio" ||
			die_start "could not pack the base image"
		# Whole or not at all, however many labs start at once.
		mv "$work/base.cpio" "$(dirname "$image")/.$key.$$"
		mv "$(dirname "$image")/.$key.$$" "$image"
	fi
	# What no run has wanted for a month goes.
	touch "$image"
	find "$cache/images" -type f -mtime +30 -delete
	echo "$image"
}

# Prints the shared libraries and the loader which the dynamic programs among the arguments need.
libraries_of()
{
	local program
	for program in "$@"; do
		ldd "$program" 2>/dev/null | sed -n 's/^.* => \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p'
	done | sort -u
}

# Prints the dynamically linked programs and libraries in directory $1.
dynamic_programs()
{
	# A root file system of its own brings its own libraries.
	[ ! -e "$1/lib64/ld-linux-x86-64.so.2" ] || return 0
	find "$1/" -name .git -prune -o -type f \( -perm /111 -o -name '*.so*' \) -size +1 -print0 |
		xargs -0r grep -lF -e ld-linux-x86-64.so.2 -e libc.so.6 -- || true
}

# Quotes the arguments for a POSIX shell.
shell_quote()
{
	local word
	for word in "$@"; do
		printf " '%s'" "${word//\'/\'\\\'\'}"
	done
}

# Writes the payload archive $1: the command (arguments), the shares and tools with their libraries.
# Reads the arrays shares and tools.
payload_image()
{
	local out=$1 stage=$work/payload links=$work/links share name tool path programs=() found
	shift
	rm -rf "$stage" "$links"
	mkdir -p "$stage/share" "$stage/lab" "$links/share"
	echo "exec$(shell_quote "$@")" >"$stage/lab/command"
	printf '%s\n' "2048 $hugepages" "1048576 $hugepages_1g" >"$stage/lab/hugepages"
	for share in "${shares[@]}"; do
		name=$(basename "$(realpath -s "$share")")
		[ ! -e "$stage/share/$name" ] || die_usage "two --share have the same name: $name"
		if [ -d "$share" ]; then
			# A link with the wanted name: the tree is packed from where it is, not copied first.
			mkdir "$stage/share/$name"
			ln -s "$(realpath "$share")" "$links/share/$name"
			found=$(dynamic_programs "$share")
			[ -z "$found" ] || mapfile -t -O "${#programs[@]}" programs <<<"$found"
		else
			cp -L "$share" "$stage/share/$name" || die_start "cannot read $share"
			programs+=("$share")
		fi
	done
	for tool in "${tools[@]}"; do
		path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$tool") ||
			die_start "--tool $tool: no such program on this machine"
		install -D -m 755 "$path" "$stage/$path"
		programs+=("$path")
	done
	libraries_of "${programs[@]}" | while read -r path; do
		install -D -m 755 "$path" "$stage/$path"
	done
	{
		(cd "$stage" && find . -mindepth 1 | pack) &&
			(cd "$links" && find share -mindepth 1 -maxdepth 1 -printf '%p/\0' |
				find -files0-from - -mindepth 1 -name .git -prune -o \
					\( -type f -o -type d -o -type l \) -print | pack)
	} >"$out" || die_start "could not pack the shared files (is there room in ${work%/*}?)"
}
