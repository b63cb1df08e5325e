# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What tools/guest-kernel/build and tools/host-kernel/debug-kernel share: a kernel from Debian's source,
# configured as the kernel's own tinyconfig plus a fragment. The caller has die and $work.
# shellcheck disable=SC2154 # $work

# Unpacks source archive $1 to $work/source. Of other architectures the Kconfig files are read, the rest is not.
unpack_kernel()
{
	mkdir "$work/source" "$work/build"
	tar -C "$work/source" --strip-components=1 --wildcards --exclude='linux-source-*/arch/[!x]*/*.[chS]' \
		--exclude='*.dts*' --exclude='linux-source-*/Documentation/*.rst' -xf "$1" || die "cannot unpack $1 (is there room in ${work%/*}?)"
}

# Runs make in the source tree quietly; the end of its output is shown on failure.
run_make()
{
	nice -n "${make_nice:-5}" make -C "$work/source" O="$work/build" ARCH=x86_64 KBUILD_BUILD_USER=stet KBUILD_BUILD_HOST=stet \
		KBUILD_BUILD_TIMESTAMP=1970-01-01 "$@" >>"$work/log" 2>&1 </dev/null || {
		tail -n 25 "$work/log" >&2
		die "make $* failed (see above)"
	}
}

# Makes $work/build/.config of tinyconfig and the fragment $1; fails, naming them, when lines of it do not hold.
configure_kernel()
{
	local line symbol missing=() config=$work/build/.config
	run_make tinyconfig
	"$work/source/scripts/kconfig/merge_config.sh" -m -O "$work/build" "$config" "$1" \
		>>"$work/log" 2>&1 || die "merge_config.sh failed: $(tail -n 3 "$work/log")"
	run_make olddefconfig
	while IFS= read -r line; do
		case $line in
			"# CONFIG_"*" is not set") symbol=${line#\# } symbol=${symbol%% *} ;;
			CONFIG_*=n) symbol=${line%%=*} ;;
			CONFIG_*=*)
				grep -qxF -- "$line" "$config" || missing+=("$line")
				continue
				;;
			*) continue ;;
		esac
		# Off means: not set, or not even a question any more.
		! grep -q "^$symbol=" "$config" || missing+=("$symbol off")
	done <"$1"
	[ ${#missing[@]} = 0 ] || die "these lines of $1 did not survive olddefconfig:
$(printf '  %s\n' "${missing[@]}")
A symbol they depend on is missing, or the name is not known to this kernel."
}
