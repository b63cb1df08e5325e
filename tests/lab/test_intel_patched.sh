#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The patched KVM loads as kvm-intel, and Debian's kernel boots without an EPT violation there.
exec "$(dirname "$0")/test_intel.sh" --patched
