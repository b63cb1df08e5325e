# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the lints share: where files are.
# shellcheck source=tests/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"
cd "$tap_root" || exit 1

# Files of the tree as git sees it (or all, where there is no git), by patterns of their whole name.
files()
{
	local list pattern
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		list=$(git ls-files --cached --others --exclude-standard)
	else
		list=$(find . -path ./build -prune -o -type f -print | sed 's,^\./,,')
	fi
	for pattern; do
		grep -E "$pattern" <<<"$list"
	done | sort -u | while IFS= read -r file; do
		[ ! -f "$file" ] || echo "$file"
	done
}

# none NAME LINE...: holds when there are no lines; else they say what is wrong.
none()
{
	local name=$1
	shift
	if [ $# -eq 0 ] || [ -z "$*" ]; then
		tap_ok "$name"
	else
		tap_not_ok "$name" "$@"
	fi
}
