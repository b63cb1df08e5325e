#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Network devices against real counterparts: ping and iperf3 over a tap with one queue and with four, files over passt; and ends that go away.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

# Copies programs $2... into $1 with the libraries they need.
copy_programs()
{
	local to=$1 program library
	shift
	for program; do
		install -D "$(command -v "$program")" "$to/bin/$program"
		ldd "$to/bin/$program" | grep -oE '/[^ ]+' | while read -r library; do
			install -D "$library" "$to$library"
		done
	done
}

make_stage
"$root/tools/install-packages" test net-test guest-kernel || die "packages are missing (see above)"
stage_stet
small=$("$root/tools/guest-kernel/build") || die "no small kernel (see above)"
cp "$small/vmlinux" "$stage/vmlinux-small"
guest=$work/guest
install -D "$root/tests/guest/net-init.sh" "$guest/init"
install -D /bin/busybox "$guest/bin/busybox"
mkdir -p "$guest/dev"
copy_programs "$guest" iperf3
(cd "$guest" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >"$stage/initrd-net"
run_inside net.sh --cpus 2 --memory 3G --hugepages 140 --kernel-modules "tun dummy" \
	--tool ip --tool iperf3 --tool passt --tool socat --time-limit 500
