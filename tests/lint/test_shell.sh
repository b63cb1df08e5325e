#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No finding of shellcheck in any script (exceptions: .shellcheckrc), nor of mandoc in the manual.
set -u
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

# Parts without a "#!" line are checked where they are sourced.
mapfile -t scripts < <({
	echo tools/completion/stet.bash
	files '^(tools|tests|\.ci)/' | xargs grep -lIE '^#!.*[ /](ba|da)?sh$' 2>/dev/null
} | sort -u)
tap_check "there are scripts" test "${#scripts[@]}" -gt 10
for script in "${scripts[@]}"; do
	tap_check "shellcheck $script" shellcheck "$script"
done

if command -v mandoc >/dev/null; then
	for page in $(files '^docs/man/.*\.[1-9]$'); do
		tap_check "mandoc $page" sh -c 'output=$(mandoc -T lint -W all "$1"); echo "$output"; [ -z "$output" ]' \
			sh "$page"
	done
else
	tap_skip "mandoc" "not installed"
fi

tap_end
