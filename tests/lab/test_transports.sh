#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a boot costs with virtio devices, in exits to user space and stage-2 faults, on either transport.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
"$root/tools/install-packages" test guest-kernel || die "packages are missing (see above)"
stage_stet
small=$("$root/tools/guest-kernel/build") || die "no small kernel (see above)"
cp "$small/vmlinux" "$stage/vmlinux-small"
stage_initrd initrd-small
for flavour in 6.12 6.1-cloud; do
	stage_kernel $flavour
	stage_initrd initrd-$flavour --kernel "$tree" virtio_pci virtio_mmio virtio_blk virtio_net
done
cp "$root/tests/lab/allowed-warnings" "$stage/"
run_inside transports.sh --memory 3G --hugepages 300 --kernel-modules tun --tool ip --time-limit 600
