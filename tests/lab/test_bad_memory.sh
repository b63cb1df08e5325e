#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory that the host cannot give is refused in one line, on an AMD host with little memory and a small pool.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
stage_kernel 6.12-cloud
stage_initrd initrd
run_inside bad_memory.sh --cpus 2 --memory 1536M --hugepages 64 --time-limit 600
