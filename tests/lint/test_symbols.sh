#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What libstet shows is what vmm/stet.h declares and vmm/stet.map lists; it has no writable globals.
set -u
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

for file in libstet.so libstet.a; do
	[ -f "$tap_build/$file" ] || { tap_not_ok "$tap_build/$file is built"; exit 1; }
done

# Declarations end at a semicolon; the last name before the first parenthesis is the function's.
header=$(tr '\n' ' ' <vmm/stet.h | grep -oE 'STET_API [^;]*;' | grep -oE 'stet_[a-z0-9_]+ *\(' |
	tr -d ' (' | sort -u)
map=$(sed -n '/global:/,/local:/s/^[[:space:]]*\(stet_[a-z0-9_]*\);/\1/p' vmm/stet.map | sort)
shared=$(nm -D --defined-only "$tap_build/libstet.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
archive=$(nm -g --defined-only "$tap_build/libstet.a" | awk 'NF == 3 { print $3 }' | sort)

same()
{
	tap_check "$1" diff <(echo "$2") <(echo "$3")
}
tap_check "the header declares functions" test "$(wc -l <<<"$header")" -gt 10
same "the version script lists the header's functions" "$header" "$map"
same "the shared library exports them and nothing else" "$header" "$shared"
same "so does the archive" "$header" "$archive"
tap_check "every name has a release" \
	test -z "$(nm -D --defined-only "$tap_build/libstet.so" | grep ' T ' | grep -v '@@STET_[0-9]')"
none "the version script is sorted" "$(diff <(sed -n 's/^\t\(stet_[a-z0-9_]*\);/\1/p' vmm/stet.map) \
	<(echo "$map"))"

# .data.rel.ro is constant once the addresses in it are settled.
none "the library has no writable globals" "$(find "$tap_build/CMakeFiles/stet_objects.dir" -name '*.o' |
	while IFS= read -r object; do
		objdump -t "$object" | awk -v object="${object##*stet_objects.dir/}" '
			($0 ~ / O / || $0 ~ /\*COM\*/) && $0 ~ /[ \t](\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ &&
				$0 !~ /\.data\.rel\.ro/ { print object ": " $NF }'
	done)"

# Code on an executable stack, or a text segment that is written to, has no business here.
tap_check "no executable stack" sh -c '! readelf -lW "$1" | grep GNU_STACK | grep -q E' sh \
	"$tap_build/libstet.so"
tap_check "no text relocations" sh -c '! readelf -d "$1" | grep -q TEXTREL' sh "$tap_build/libstet.so"
tap_check "the program is position independent, with immediate binding" \
	sh -c 'readelf -hd "$1" | grep -q "Type: *DYN" && readelf -d "$1" | grep -qE "BIND_NOW|FLAGS_1.*NOW"' \
	sh "$tap_build/stet"

tap_end
