#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Virtio sockets and the virtio console with socat on an AMD host: the small kernel on PCI, Debian's on virtio-mmio.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
stage_kernel 6.12-cloud
"$root/tools/install-packages" guest-kernel || die "packages are missing (see above)"
small=$("$root/tools/guest-kernel/build") || die "no small guest kernel"
cp "$small/bzImage" "$stage/vmlinuz-small"
stage_initrd initrd-small
stage_initrd initrd-6.12-cloud --kernel "$tree" virtio_mmio vmw_vsock_virtio_transport
run_inside vsock.sh --cpus 1 --memory 2G --hugepages 200 --tool socat --time-limit 300
