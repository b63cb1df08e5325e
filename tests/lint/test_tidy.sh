#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy and cppcheck find nothing in the library and the program.
set -u
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

if [ -n "${STET_QUICK-}" ]; then
	tap_skip "clang-tidy and cppcheck" "left out by --quick"
	exit 0
fi
[ -f "$tap_build/compile_commands.json" ] || { tap_not_ok "$tap_build is configured"; exit 1; }

checks=$(sed -n 's/^  -\([a-z][^,]*\),\{0,1\}$/\1/p' .clang-tidy)
tap_check "some checks are disabled" test -n "$checks"
none "every disabled check has its reason" "$(for check in $checks; do
	grep -qE "^# $check +[a-zA-Z0-9\"].* " .clang-tidy || echo "$check"
done)"

tap_scratch
# Files whose compilation is known; one process for each processor.
mapfile -t sources < <(files '^(base|mem|devices|boot|vmm|tools/stet)/.*\.c$' \
	'^tools/init/(command|frame|image|relay|settings)\.c$' '^tests/cli/pty\.c$')
# shellcheck disable=SC2154 # set by tap_scratch
if printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p "$tap_build" --quiet \
	>"$tap_dir/tidy" 2>"$tap_dir/tidy-errors"; then
	tap_ok "clang-tidy: ${#sources[@]} files"
else
	tap_not_ok "clang-tidy: ${#sources[@]} files" \
		"$(grep -E '(warning|error):' "$tap_dir/tidy" | sed "s,$tap_root/,," | sort -u)" \
		"$(grep -i '^error' "$tap_dir/tidy-errors" | head -n 5)"
fi

# Programs for guests and emulated hosts, which scripts compile.
mapfile -t programs < <(files '^tests/(host-kernel|lab)/.*\.c$' '^tools/lab/.*\.c$' \
	'^tools/init/(init|system)\.c$')
if printf '%s\n' "${programs[@]}" | xargs -P "$(nproc)" -n 4 sh -c \
	'clang-tidy --quiet "$@" -- -std=gnu11 -O2 -D_FORTIFY_SOURCE=2 -D_GNU_SOURCE -I. -Wall -Wextra' sh \
	>"$tap_dir/tidy" 2>"$tap_dir/tidy-errors"; then
	tap_ok "clang-tidy: ${#programs[@]} programs for emulated hosts"
else
	tap_not_ok "clang-tidy: ${#programs[@]} programs for emulated hosts" \
		"$(grep -E '(warning|error):' "$tap_dir/tidy" | sed "s,$tap_root/,," | sort -u)" \
		"$(grep -i '^error' "$tap_dir/tidy-errors" | head -n 5)"
fi
none "cppcheck: programs for emulated hosts" "$(cppcheck --quiet -D_GNU_SOURCE -I . \
	--enable=warning,style,performance,portability --inline-suppr \
	--suppressions-list=tests/lint/cppcheck-suppressions \
	--template='{file}:{line}: {severity}: {message} [{id}]' "${programs[@]}" 2>&1)"

none "cppcheck" "$(cppcheck --project="$tap_build/compile_commands.json" -i "$tap_root/tests" \
	--quiet -j "$(nproc)" \
	--enable=warning,style,performance,portability --inline-suppr \
	--suppressions-list=tests/lint/cppcheck-suppressions \
	--template='{file}:{line}: {severity}: {message} [{id}]' 2>&1)"

tap_end
