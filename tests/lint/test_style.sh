#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Form: clang-format, licence lines, sizes of files and functions, names, links of the documents.
set -u
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

file_lines_max=600
test_lines_max=1000
function_lines_max=100

# What the kernel compiles follows the kernel's own style.
mapfile -t sources < <(files '\.[ch]$' | grep -v '^tools/host-kernel/')
none "clang-format agrees" "$(clang-format --dry-run "${sources[@]}" 2>&1 | grep 'warning:' | head -n 20)"

mapfile -t licensed < <(files '\.([chS]|sh|cmake|map|in|1|py|fish|bash)$' '(^|/)CMakeLists\.txt$' \
	'(^|/)(clang-tidy|shellcheckrc)$' '^tools/test$' '^\.ci/run$' | grep -v '^tools/host-kernel/patches/')
mapfile -t programs < <(files '^(tools|tests)/' | xargs grep -lIE '^#!' 2>/dev/null)
none "every file names its licence at the top" "$(for file in "${licensed[@]}" "${programs[@]}"; do
	head -n 4 "$file" | grep -q 'SPDX-License-Identifier: .*\(Apache-2\.0\|GPL-2\.0\)' || echo "$file"
done)"
none "a C file opens with a line that says what it is" "$(for file in "${sources[@]}"; do
	sed -n 2p "$file" | grep -qE '^/\*' || echo "$file"
done)"

none "no file is longer than $file_lines_max lines, no test than $test_lines_max" "$(wc -l "${sources[@]}" \
	"${programs[@]}" | awk -v file_max=$file_lines_max -v test_max=$test_lines_max '
	$2 != "total" && $1 > ($2 ~ /^tests\// ? test_max : file_max) { print $2 ": " $1 }')"
# clang-format puts a function's braces, and nothing else's, alone in the first column.
none "no function is longer than $function_lines_max lines" "$(awk -v max=$function_lines_max '
	FNR == 1 { begin = 0 }
	/^{/ { begin = FNR }
	/^}/ && begin { if (FNR - begin + 1 > max) print FILENAME ":" begin ": " FNR - begin + 1; begin = 0 }' \
	"${sources[@]}")"
# Only for types of functions, whose name is followed by their parameters.
none "no typedefs inside" "$(files '^(base|mem|devices|boot|vmm|tools/stet)/.*\.[ch]$' |
	xargs grep -nE '^[[:space:]]*typedef ' | grep -vE '[a-z_]+_(fn|handler)\(')"
none "no trailing blanks" "$(files '\.([chS]|sh|cmake|md|map|in|1)$' 'CMakeLists\.txt$' |
	grep -v '^tools/host-kernel/patches/' | xargs grep -nE '[[:space:]]+$' | head -n 20)"
none "scripts can be run" "$(for file in "${programs[@]}"; do [ -x "$file" ] || echo "$file"; done |
	grep -vE '^tests/lab/inside/|^tools/lab/init$')"

# [text](target) and the file part of target#section.
none "the documents' links lead somewhere" "$(files '\.md$' | while IFS= read -r file; do
	grep -oE '\]\([^)#: ]+(#[^)]*)?\)' "$file" | sed 's/^](//; s/[#)].*//' | while IFS= read -r target; do
		[ -z "$target" ] || [ -e "$(dirname "$file")/$target" ] || echo "$file: $target"
	done
done)"

tap_end
