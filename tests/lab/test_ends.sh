#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every exit code of stet, every way to stop it and what it leaves behind, with Debian's kernels on an AMD host.
# The arguments choose parts: exit_codes signals terminal machines; without, all.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
for flavour in 6.12-cloud 6.1-cloud 6.12 6.1; do
	stage_kernel $flavour
	stage_initrd initrd-$flavour --kernel "$tree" pvpanic-mmio button evdev
done
stage_initrd initrd-bare
cp "$root/tests/lab/allowed-warnings" "$stage/"
run_inside ends.sh --cpus 2 --memory 5G --hugepages 600 --tool socat --time-limit 1500 -- "$@"
