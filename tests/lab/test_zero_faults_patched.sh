#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian kernels boot without a stage-2 fault on the patched modules too: what test_zero_faults.sh does, in a part that covers it:
# each kind of memory by each number of vCPUs, one guest with memory on both sides of 4 GiB, each entry and kernel.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
stage_modules
stage_vmlinux 6.12-cloud
stage_kernel 6.12
stage_kernel 6.1-cloud
stage_kernel 6.1
stage_initrd initrd
memory=9G large=5120/4k/2
available_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
if [ "$available_mib" -lt 11000 ]; then
	echo "ok - patched KVM, a guest of 5120 MiB # SKIP its host needs 11 GiB, of which $((available_mib / 1024)) are available here"
	memory=4G large=1024/4k/2
fi
[ $# != 0 ] || set -- 128 $large others
# shellcheck disable=SC2154 # set by stage_modules
run_inside zero_faults.sh --modules "$modules" --cpus 2 --memory $memory --hugepages 300 --hugepages-1g 1 --time-limit 900 \
	-- "$@" | sed -u 's/^\(not ok\|ok\) - /&patched KVM, /'
