#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Hostile drivers against every device, on both transports, for a minute each, with sanitizers in stet and good guests
# beside them, in an emulated AMD host; at the same time, good guests whose disks fail in the host.
# Usage: test_hostile.sh [--here] [SECONDS [SEED]]
# A seed that was printed repeats what the guests do. --here: on this machine's own /dev/kvm instead.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

here=
[ "${1-}" != --here ] || { here=yes; shift; }
seconds=${1:-60}
seed=${2:-$(date +%s)}
make_stage
(cd "$root" && cmake --preset asan && cmake --build --preset asan --target stet guest_hostile) >"$work/build.log" 2>&1 ||
	{ tail -n 30 "$work/build.log" >&2; die "the build with sanitizers failed"; }
cp "$root/build/asan/stet" "$root/build/asan/tests/guest/hostile" "$stage/"
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -static -s -o "$stage/vsock_peer" "$root/tests/lab/vsock_peer.c" ||
	die "vsock_peer.c does not compile"

if [ -n "$here" ]; then
	"$stage/hostile.sh" "$stage" "$seconds" "$seed"
	exit
fi
run_inside hostile.sh --cpus 1 --memory 4G --tool ip --tool dmsetup --kernel-modules "tun brd dm-mod sd_mod scsi_debug" \
	--time-limit 600 -- /share/stage "$seconds" "$seed"
