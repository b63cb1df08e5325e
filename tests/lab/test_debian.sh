#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A Debian 12 root image with its own kernel works as a guest, from the login prompt to a clean end, without a stage-2 fault.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
"$root/tools/guest-debian/build" --output "$stage" >"$work/image" || die "no Debian root image (see above)"
cp "$root/tests/lab/allowed-warnings" "$stage/"
# A disk with the guest's part of the test, and 16 MiB that are known.
mkdir "$work/checks"
cp "$root/tests/guest/debian-checks.sh" "$work/checks/checks.sh"
head -c 16M /dev/urandom >"$work/checks/known"
(cd "$work/checks" && sha256sum known >known.sha256)
cp "$work/checks/known" "$stage/known.original"
PATH=$PATH:/usr/sbin:/sbin
mke2fs -q -t ext4 -L checks -d "$work/checks" "$stage/checks.img" 32M >/dev/null
run_inside debian.sh --cpus 2 --memory 4G --hugepages 270 --kernel-modules "ext4 loop" \
	--tool e2fsck --tool mkfs.ext4 --tool debugfs --time-limit 600 "$@"
