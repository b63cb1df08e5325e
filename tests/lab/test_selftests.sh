#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kernel's own tests of KVM, on stock modules and on the patched ones.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

"$top/tools/install-packages" lab host-kernel >&2 || {
	not_ok "packages for the host kernel"
	finish
}

# selftests NAME OPTION...: reports each of the tests; one that said nothing is a failure.
selftests()
{
	local name=$1 status=0 line passed=0
	shift
	"$top/tools/host-kernel/selftests" "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
	while IFS= read -r line; do
		case $line in
		"ok - "*)
			ok "$name ${line#ok - }"
			passed=$((passed + 1))
			;;
		"not ok - "*) not_ok "$name ${line#not ok - }" ;;
		*) echo "# $line" ;;
		esac
	done <"$scratch/out"
	check_equal "$name: all eight ran, and the kernel's log is silent" "0 8" "$status $passed" \
		"$(tail -n 20 "$scratch/err")"
}

selftests stock --stock
selftests patched
finish
