# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tests that run inside an emulated host have in common: the files such a host needs.
# A test is two programs: test_NAME.sh gathers files and starts tools/lab/lab, inside/NAME.sh runs in there.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${STET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stet}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# Makes $stage, the directory that the emulated host sees as /share/stage, with inside/ in it.
make_stage()
{
	work=$(mktemp -d "${TMPDIR:-/tmp}/stet-test.XXXXXX") || die "cannot write to ${TMPDIR:-/tmp}"
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	stage=$work/stage
	mkdir "$stage"
	cp "$root"/tests/lab/inside/*.sh "$root/tools/host-kernel/folios" "$stage/"
	"$root/tools/install-packages" build lab lab-test kernel || die "packages are missing (see above)"
	${CC:-cc} -O2 -static -s -o "$stage/kvm_hold" "$root/tests/lab/kvm_hold.c" || die "kvm_hold.c does not compile"
}

# Puts the stet program there: that of STET where it is set, else a static build of this tree.
stage_stet()
{
	if [ -z "${STET-}" ]; then
		"$root/tools/install-packages" build || die "packages are missing (see above)"
		(cd "$root" && cmake --preset static && cmake --build --preset static) >"$work/build.log" 2>&1 ||
			{ tail -n 30 "$work/build.log" >&2; die "the static build failed"; }
		STET=$root/build/static/stet
	fi
	cp "$STET" "$stage/stet" || die "no program $STET"
}

# Puts Debian's kernel of flavour $1 there as vmlinuz-$1; sets $tree to its unpacked package.
stage_kernel()
{
	tree=$("$root/tools/lab/fetch-kernel" "$1") || die "no kernel of flavour $1 (see above)"
	cp "$tree"/boot/vmlinuz-* "$stage/vmlinuz-$1"
}

# Puts the ELF kernel of flavour $1 there as vmlinux-$1; it is kept in the cache.
stage_vmlinux()
{
	local elf
	stage_kernel "$1"
	elf=$cache/guest-kernels/$(basename "$tree").vmlinux
	if [ ! -f "$elf" ]; then
		mkdir -p "${elf%/*}"
		"$root/tools/lab/extract-vmlinux" "$stage/vmlinuz-$1" "$work/vmlinux" || die "no ELF kernel in $1"
		mv "$work/vmlinux" "$elf.$$" && mv "$elf.$$" "$elf"
	fi
	ln "$elf" "$stage/vmlinux-$1" 2>/dev/null || cp "$elf" "$stage/vmlinux-$1"
}

# Puts the tests' guest without an operating system there: tiny.
stage_tiny()
{
	(cd "$root" && cmake --preset dev && cmake --build --preset dev --target guest_tiny) >"$work/tiny.log" 2>&1 ||
		{ tail -n 30 "$work/tiny.log" >&2; die "tests/guest/tiny.c cannot be built"; }
	cp "$root/build/dev/tests/guest/tiny" "$stage/"
}

# Builds the patched KVM modules, or takes them from the cache; $modules is their directory.
stage_modules()
{
	"$root/tools/install-packages" host-kernel || die "packages are missing (see above)"
	# shellcheck disable=SC2034 # used by the tests
	modules=$("$root/tools/host-kernel/build" 2>"$work/modules.log") ||
		{ tail -n 30 "$work/modules.log" >&2; die "the patched modules cannot be built"; }
}

# Puts an initial RAM disk there as $1; more arguments as those of tests/guest/build-initrd.
stage_initrd()
{
	local name=$1
	shift
	"$root/tests/guest/build-initrd" "$stage/$name" "$@" || die "no initrd $name"
}

# Runs inside/$1 in an emulated host. More arguments: options of tools/lab/lab, --, arguments of the script.
run_inside()
{
	local script=$1 options=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	"$root/tools/lab/lab" --quiet --retry --fail-on-warn --output "${LAB_OUTPUT:-$work/output}" --share "$stage" --tool jq \
		"${options[@]}" -- sh "stage/$script" "$@"
}
