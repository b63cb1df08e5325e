#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian kernels boot without a single stage-2 fault on an AMD host: memory kinds, vCPUs, sizes, entries.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
stage_vmlinux 6.12-cloud
stage_kernel 6.12
stage_kernel 6.1-cloud
stage_kernel 6.1
stage_initrd initrd
# 5 GiB of huge pages, 5 GiB for the guests that have others, and one page of 1 GiB.
run_inside zero_faults.sh --cpus 2 --memory 12G --hugepages 2560 --hugepages-1g 1 --time-limit 1500
