#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# abi_gate.sh MODULES_DIR: the ABI gate refuses modules in which a field has moved, and only those.
# For each case a "kvm.ko" is compiled from the stock kernel's own types, with one change in them.
set -uo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
modules=$1
cache=${STET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stet}/host-kernel
release=$(cat "$modules/release")
vmlinux=$cache/headers-$release/usr/src/linux-headers-$release/vmlinux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

pahole --compile "$vmlinux" >"$work/types.h" || exit 1
echo 'struct kvm_vcpu *vcpu; struct kvm_pmu *pmu; struct kvm_vcpu_stat *stat;' >"$work/use.c"

# gate STRUCT MEMBER: adds a field before MEMBER (or at the end, for "end"); prints what the gate says.
gate()
{
	rm -rf "$work/built"
	cp -r "$modules" "$work/built"
	awk -v struct="$1" -v member="$2" '
		$0 == "struct " struct " {" { inside = 1 }
		inside && ((member == "end" && /^}/) || (member != "end" && $0 ~ "[ *]" member ";")) {
			print "\tunsigned long stet_new;"; inside = 0 }
		{ print }' "$work/types.h" >"$work/changed.h"
	if [ -n "$1" ] && cmp -s "$work/types.h" "$work/changed.h"; then
		echo "nothing was changed"
		return
	fi
	gcc -g -w -include "$work/changed.h" -c "$work/use.c" -o "$work/built/kvm.ko" &&
		pahole -J --btf_base "$vmlinux" "$work/built/kvm.ko" &&
		"$top/tools/host-kernel/abi-gate" "$vmlinux" "$cache/stock-$release" "$work/built" 2>&1
}

# The symbols of such a module are missing, which the gate says as well: only its words about layout count.
refused()
{
	local said
	said=$(gate "$2" "$3")
	if grep -q "^abi-gate: struct $2 moved in kvm.ko" <<<"$said"; then
		echo "ok - the ABI gate refuses $1"
	else
		echo "not ok - the ABI gate refuses $1"
		cut -c1-200 <<<"$said" | sed 's/^/# /'
		failed=1
	fi
}

accepted()
{
	local said
	said=$(gate "$2" "$3")
	if grep -q "moved in\|is not in\|nothing was changed" <<<"$said"; then
		echo "not ok - the ABI gate accepts $1"
		cut -c1-200 <<<"$said" | sed 's/^/# /'
		failed=1
	else
		echo "ok - the ABI gate accepts $1"
	fi
}

accepted "unchanged structures" "" ""
accepted "new statistics at the end" kvm_vcpu_stat end
refused "new statistics before signal_exits" kvm_vcpu_stat signal_exits
refused "a field in front of kvm_vcpu.run" kvm_vcpu run
refused "a larger kvm_vcpu_arch" kvm_vcpu_arch end
refused "a changed kvm_pmu" kvm_pmu nr_arch_gp_counters
exit $failed
