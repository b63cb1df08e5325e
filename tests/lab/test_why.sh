#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# With the patched KVM, stet why and stet's report name who took memory of a VM out of stage 2, and how.
set -euo pipefail
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

make_stage
stage_stet
stage_tiny
stage_modules
${CC:-cc} -O2 -static -s -o "$stage/inject" "$root/tests/lab/inject.c" || die "inject.c does not compile"
# shellcheck disable=SC2154 # set by stage_modules
run_inside why.sh --modules "$modules" --cpus 1 --nodes 2 --memory 2G --time-limit 240
