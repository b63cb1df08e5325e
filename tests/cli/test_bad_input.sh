#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bad input gives one clear line on standard error and exit code 1 or 2, before a vCPU runs.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

files=$tap_dir/files
mkdir "$files"

# bad NAME TEXT COMMAND...: exit code 1 or 2, one line "stet: ..." that contains TEXT, nothing else.
bad_command()
{
	local name=$1 text=$2
	shift 2
	status=0
	timeout -s KILL "$limit_s" "$@" >"$out" 2>"$err" </dev/null || status=$?
	if { [ "$status" != 1 ] && [ "$status" != 2 ]; } || [ -s "$out" ] ||
		[ "$(wc -l <"$err")" != 1 ] || ! grep -q '^stet: ' "$err" ||
		! grep -qiF -e "$text" "$err"; then
		run_failed "$name (wanted one line with '$text', exit code 1 or 2)"
	else
		tap_ok "$name"
	fi
}

# The same for arguments of stet, and of stet run.
bad()
{
	local name=$1 text=$2
	shift 2
	bad_command "$name" "$text" "$stet" "$@"
}

bad_run()
{
	local name=$1 text=$2
	shift 2
	bad "$name" "$text" run "$@"
}

# patch FILE OFFSET BYTES (as printf writes them)
patch()
{
	# shellcheck disable=SC2059 # the format is the data
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# ---- the command line ----
bad "no verb" "--help"
bad "unknown verb" "unknown verb 'rnu'; did you mean 'run'" rnu
bad "unknown option before the verb" "unknown option" --bogus
bad_run "no kernel" "--kernel"
bad_run "mistyped option" "did you mean '--memory'" --memroy=1G -k "$tiny"
bad_run "unknown option" "--help" --xyzzy
bad_run "stray argument" "unexpected argument" -k "$tiny" stray
bad_run "missing value" "needs a value" -k "$tiny" --memory
bad_run "value for a flag" "takes no value" -k "$tiny" --json=1
bad_run "unknown backing" "known: auto" -k "$tiny" --backing gold
bad_run "unknown prefault" "known: on" -k "$tiny" --prefault maybe
bad_run "unknown console" "file:PATH" -k "$tiny" --console screen
bad_run "console file without a path" "needs a path" -k "$tiny" --console file:
bad "unknown option of info" "unknown option" info --bogus

# ---- sizes and counts ----
bad_run "memory 0" "memory" -k "$tiny" -m 0
bad_run "memory 1M" "memory" -k "$tiny" -m 1M
bad_run "memory 1.5M" "not a size" -k "$tiny" -m 1.5M
bad_run "memory 1536K" "memory" -k "$tiny" -m 1536K
bad_run "memory 3M" "memory" -k "$tiny" -m 3M
bad_run "memory -1" "not a size" -k "$tiny" -m -1
bad_run "memory beyond 64 bits" "too large" -k "$tiny" -m 99999999999G
bad_run "memory beyond the machine" "memory" -k "$tiny" -m 600G
host_kib=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
if ((host_kib < 400 * 1024 * 1024)); then
	for backing in auto thp 4k; do
		bad_run "memory beyond the host's ($backing)" "memory" -k "$tiny" \
			-m $(((host_kib / 1024 + 2) / 2 * 2 + 2048))M --backing $backing
	done
else
	tap_skip "memory beyond the host's" "the host has more than the machine can"
fi
bad_run "hugetlb without a pool" "hugepages" -k "$tiny" -m 500G --backing hugetlb-1G
bad_run "hugetlb-2M beyond the pool" "hugepages" -k "$tiny" -m 500G --backing hugetlb-2M
bad_run "cpus 0" "vCPU" -k "$tiny" -c 0
bad_run "cpus 33" "vCPU" -k "$tiny" -c 33
bad_run "cpus -1" "not a number" -k "$tiny" -c -1

# ---- kernels and initrds ----
bad_run "kernel missing" "No such file" -k "$files/none"
bad_run "kernel with an empty name" "kernel" -k ""
bad_run "kernel is a directory" "directory" -k "$files"
: >"$files/empty"
bad_run "kernel empty" "empty" -k "$files/empty"
head -c 5000 "$tiny" >"$files/truncated"
bad_run "kernel truncated" "$files/truncated" -k "$files/truncated"
head -c 20 "$tiny" >"$files/stump"
bad_run "kernel of 20 bytes" "$files/stump" -k "$files/stump"
echo "this is not a kernel" >"$files/text"
bad_run "kernel is a text" "$files/text" -k "$files/text"
head -c 100000 /dev/urandom >"$files/noise"
bad_run "kernel is noise" "$files/noise" -k "$files/noise"
# ELF32, i386: a header and one PT_LOAD of 16 bytes at 1 MiB.
head -c 4096 /dev/zero >"$files/elf32"
patch "$files/elf32" 0 '\x7fELF\x01\x01\x01'
patch "$files/elf32" 16 '\x02\x00\x03\x00\x01\x00\x00\x00\x00\x00\x10\x00\x34'
patch "$files/elf32" 40 '\x34\x00\x20\x00\x01'
patch "$files/elf32" 52 '\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x10\x00\x00\x00\x10\x00\x10\x00\x00\x00\x10'
bad_run "kernel 32-bit ELF" "32-bit" -k "$files/elf32"
# A bzImage (boot.rst): 0xaa55 at 0x1fe, HdrS, version 2.15, LOADED_HIGH, no 64-bit entry (xloadflags).
head -c 65536 /dev/zero >"$files/bz32"
patch "$files/bz32" $((0x1f1)) '\004'
patch "$files/bz32" $((0x1fe)) '\x55\xaa'
patch "$files/bz32" $((0x202)) 'HdrS\x0f\x02'
patch "$files/bz32" $((0x211)) '\001'
bad_run "kernel 32-bit bzImage" "32-bit" -k "$files/bz32"
# p_memsz of the last LOAD header (ELF64: headers at 64, 56 bytes each, p_memsz at 40).
cp "$tiny" "$files/huge"
patch "$files/huge" $((64 + 3 * 56 + 40)) '\x00\x00\x00\x40'
bad_run "kernel oversized" "$files/huge" -k "$files/huge" -m 64M
cp "$tiny" "$files/unreadable"
chmod 0 "$files/unreadable"
chmod 755 "$tap_dir" "$files"
if [ "$(id -u)" = 0 ]; then
	cp "$stet" "$files/stet"
	nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	bad_command "kernel without permission" "Permission denied" \
		"${nobody[@]}" "$files/stet" run -k "$files/unreadable"
	if [ "$(stat -c %a /dev/kvm 2>/dev/null)" = 600 ]; then
		cp "$tiny" "$files/tiny"
		bad_command "no permission on /dev/kvm" "/dev/kvm" \
			"${nobody[@]}" "$files/stet" run -m 16M -k "$files/tiny"
	else
		tap_skip "no permission on /dev/kvm" "it is open to others here"
	fi
else
	bad_run "kernel without permission" "Permission denied" -k "$files/unreadable"
	tap_skip "no permission on /dev/kvm" "needs root to become somebody else"
fi
truncate -s 100M "$files/initrd"
bad_run "initrd too large for the memory" "initrd" -k "$tiny" -i "$files/initrd" -m 64M
bad_run "initrd missing" "No such file" -k "$tiny" -i "$files/none"
bad_run "command line too long" "command line" -k "$tiny" -a "$(printf '%070000d' 0)"
bad_run "command line with a newline" "command line" -k "$tiny" -a "$(printf 'a\nb')"

# ---- a command on a tree ----
tree=$files/tree
mkdir -p "$tree/sub"
echo text >"$tree/sub/file"
export STET_KERNEL=$tiny
bad_run "--root without a command" "--root needs a command" --root "$tree"
bad_run "--root with nothing behind --" "no command behind --" --root "$tree" --
bad_run "a command without --root" "--root DIR" -k "$tiny" -- true
bad_run "--root missing" "/nonexistent" --root /nonexistent -- true
bad_run "--root is a file" "Not a directory" --root "$tree/sub/file" -- true
bad_run "--root with --initrd" "no --initrd" --root "$tree" -i "$tiny" -- true
bad_run "--root and the terminal as console" "the terminal is the command's" --root "$tree" --console tty -- true
bad_run "--workdir without --root" "--root DIR" -k "$tiny" --workdir /
bad_run "--workdir that is no path of the guest" "begins with /" --root "$tree" --workdir sub -- true
bad_run "--root with too little memory" "give it at least" --root "$tree" -m 16M -- true
bad_run "--root with the kernel missing" "No such file" --root "$tree" -k "$files/none" -- true
mkdir "$tree/.stet"
bad_run "--root with a file of init's name" ".stet: is in the way" --root "$tree" -- true
rmdir "$tree/.stet"
truncate -s 5G "$tree/large"
bad_run "a file over 4 GiB" "large: has 5120 MiB" --root "$tree" -- true
rm "$tree/large"
if [ "$(id -u)" != 0 ]; then
	chmod 0 "$tree/sub/file"
	bad_run "a file that cannot be read" "sub/file: cannot be read" --root "$tree" -- true
	chmod 600 "$tree/sub/file"
fi
unset STET_KERNEL
bad_command "no kernel to be found" "no kernel found" env HOME=/nonexistent XDG_CACHE_HOME= STET_CACHE= \
	"$stet" run --root "$tree" -- true

# ---- the host ----
absent='mount -t tmpfs none /dev && touch /dev/null && exec "$@"'
if unshare -rm true 2>/dev/null; then
	bad_command "/dev/kvm absent" "/dev/kvm" \
		unshare -rm sh -c "$absent" sh "$stet" run -m 16M -k "$tiny"
else
	tap_skip "/dev/kvm absent" "no user namespaces here"
fi

# ---- outputs, found before the guest runs ----
words="say=RAN"
bad_run "statistics file not writable" "statistics" -k "$tiny" -m 16M -a "$words" \
	--stats=/nonexistent/file
bad_run "statistics file is a directory" "statistics" -k "$tiny" -m 16M -a "$words" \
	--stats="$files"
bad_run "console file not writable" "console" -k "$tiny" -m 16M -a "$words" \
	--console file:/nonexistent/file

tap_end
