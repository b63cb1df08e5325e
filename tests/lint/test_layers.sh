#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who may include whom: the rooms of ARCHITECTURE.md, and one file for each library we link.
set -u
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

# What each room may include beside itself.
declare -A may=(
	[base]=""
	[mem]="base"
	[devices]="mem base"
	[boot]="mem base"
	[vmm]="devices boot mem base"
)

# ours ROOM: "FILE: INCLUDED" for each quoted include in the room.
ours()
{
	files "^$1/.*\.[chS]$" | xargs -r grep -HoE '^ *# *include *"[^"]*"' |
		sed 's/: *# *include *"\(.*\)"/: \1/'
}

# The private numbers shared with the host's kernel patches are not ours to copy.
shared_with_kernel='tools/host-kernel/include/[a-z_]*\.h'

for room in base mem devices boot vmm; do
	wrong=()
	while IFS= read -r line; do
		[ -n "$line" ] || continue
		included=${line#*: }
		target=${included%%/*}
		if [ "$target" = "$included" ]; then
			wrong+=("$line: not written from the root")
		elif [ "$room" = vmm ] && [[ $included =~ ^$shared_with_kernel$ ]]; then
			:
		elif [ "$target" != "$room" ] && [[ " ${may[$room]} " != *" $target "* ]]; then
			wrong+=("$line: $room may include: itself ${may[$room]}")
		elif [ ! -f "$included" ]; then
			wrong+=("$line: no such file")
		fi
	done <<<"$(ours "$room")"
	none "$room includes itself and: ${may[$room]:-nothing of ours}" "${wrong[@]}"
done

wrong=()
while IFS= read -r line; do
	case ${line#*: } in
	vmm/stet.h | tools/stet/*.h | tools/init/*.h) ;;
	*) [ -z "$line" ] || wrong+=("$line") ;;
	esac
done <<<"$(ours tools/stet)"
none "the program uses vmm/stet.h alone" "${wrong[@]}"
none "tiny.c uses <stet.h> alone" "$(grep -nE '^ *# *include *"' tools/tiny.c)"

# A header of somebody else's: where it may stand.
only_in()
{
	local header=$1 where=$2
	none "<$header> stands in $where only" "$(files '^(base|mem|devices|boot|vmm|tools/stet)/.*\.[ch]$' |
		xargs grep -lE "^ *# *include *<$header>" | grep -vE "^$where")"
}

# At most one file.
one_file()
{
	local header=$1 found
	found=$(files '^(base|mem|devices|boot|vmm|tools/stet)/.*\.[ch]$' |
		xargs grep -lE "^ *# *include *<$header>")
	tap_check "<$header> is included by one file at most" test "$(wc -w <<<"$found")" -le 1
}

only_in 'linux/kvm.h' 'vmm/'
only_in 'linux/kvm_para.h' 'vmm/'
one_file 'liburing.h'
one_file 'libfdt.h'
one_file 'seccomp.h'
none "the library knows no stdio streams, no environment, no exit()" \
	"$(files '^(base|mem|devices|boot|vmm)/.*\.c$' | xargs grep -nE \
		'(^|[^_a-z])(f?printf|puts|getenv|secure_getenv|setenv|exit|abort|assert|signal|sigaction) *\(')"

tap_end
