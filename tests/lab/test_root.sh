#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# stet run --root DIR -- COMMAND on an AMD host, with the small kernel and Debian's: exit codes, streams, signals, a
# terminal, the tree, and no stage-2 faults.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
small=$("$root/tools/guest-kernel/build") || die "no small kernel (see above)"
cp "$small/vmlinux" "$stage/vmlinux-small"

# Debian's kernel lies as it does on a Debian machine, with the modules that virtual machines use.
tree=$("$root/tools/lab/fetch-kernel" 6.12-cloud) || die "no kernel (see above)"
version=$(ls "$tree/lib/modules")
mkdir -p "$stage/debian/boot" "$stage/debian/lib/modules/$version"
cp "$tree"/boot/vmlinuz-* "$stage/debian/boot/"
(cd "$tree/lib/modules/$version" &&
	cp -r --parents modules.dep modules.builtin kernel/net/vmw_vsock kernel/drivers/virtio kernel/drivers/misc/pvpanic \
		kernel/drivers/char/hw_random "$stage/debian/lib/modules/$version/")
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -static -s -o "$stage/pty" "$root/tests/cli/pty.c" || die "pty.c does not compile"
run_inside root.sh --cpus 1 --memory 3G --time-limit 600
