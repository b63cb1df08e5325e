#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_start.sh [KIB...]: what stet does from exec to the first KVM_RUN with 128 MiB of 4K pages, in million instructions of the
# emulated host: on stock and on patched modules, as the host comes and with pages of KIB (64) for memory that asks. Some minutes.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/../lab/lib.sh"

[ $# != 0 ] || set -- 64
make_stage
stage_stet
stage_modules
stage_kernel 6.12-cloud
stage_initrd initrd
cat >"$stage/start.sh" <<'END_OF_SCRIPT'
cd /share/stage
thp=/sys/kernel/mm/transparent_hugepage
# Prints the instructions of one start; the first of a host has work that none after it has.
start()
{
	./stet run -q -k vmlinuz-6.12-cloud -i initrd -a "quiet stet.facts=off" -m 128M --backing "$1" --prefault require \
		--console file:console.txt --stats=stats.json --json >said.txt 2>&1 || cat said.txt >&2
	jq -r '.phases[] | select(.name == "first_run") | .ns_since_exec / 1e5 | round / 10' stats.json
}
report()
{
	folios=$(cat $thp/hugepages-64kB/stats/anon_fault_alloc)
	printf '%-36s %8s M\n' "$1, $2" "$(start "${3-4k}")"
	echo "    folios of 64 KiB made: $(($(cat $thp/hugepages-64kB/stats/anon_fault_alloc) - folios))"
}
sleep 3
start 4k >/dev/null
report "$1" "as it comes"
kind=$1
shift
for kib; do
	echo madvise >$thp/hugepages-${kib}kB/enabled
	report "$kind" "$kib KiB for who asks"
	echo never >$thp/hugepages-${kib}kB/enabled
done
report "$kind" "hugetlb-2M" hugetlb-2M
END_OF_SCRIPT
lab() { "$root/tools/lab/lab" --quiet --icount --hugepages 80 --share "$stage" --tool jq --time-limit 500 "$@"; }
lab -- sh stage/start.sh stock "$@"
# shellcheck disable=SC2154 # set by stage_modules
lab --modules "$modules" -- sh stage/start.sh patched "$@"
