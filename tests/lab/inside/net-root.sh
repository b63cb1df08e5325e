#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# net-root.sh COMMAND...: in a mount namespace of its own, puts another root over the initial one, with all that is in it,
# and runs COMMAND there.
new=/new-root
mkdir -p $new && mount -t tmpfs root $new || exit 125
for from in /*; do
	if [ "$from" = $new ]; then
		continue
	elif [ -L "$from" ]; then
		cp -a "$from" $new/
	elif [ -d "$from" ]; then
		mkdir "$new$from" && mount -o rbind "$from" "$new$from" || exit 125
	fi
done
cd $new && mount -o move . / || exit 125
exec chroot . "$@"
