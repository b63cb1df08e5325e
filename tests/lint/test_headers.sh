#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each header compiles alone; the public one also as C++ and with a strict compiler.
set -u
# shellcheck source=tests/lint/lib.sh
. "$(dirname "$0")/lib.sh"

strict=(-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wpointer-arith -Wundef)
flags=(-std=gnu11 -D_GNU_SOURCE -I. "${strict[@]}" -fsyntax-only)
for header in $(files '^(base|mem|devices|boot|vmm|tools/stet)/.*\.h$'); do
	# Twice: the second time its guard must hold.
	tap_check "$header alone" gcc "${flags[@]}" -x c - < <(printf '#include "%s"\n#include "%s"\n' \
		"$header" "$header")
	guard=$(tr 'a-z/.-' 'A-Z___' <<<"$header")
	[ "$header" = vmm/stet.h ] && guard=STET_H
	tap_check "$header is guarded by $guard" grep -qx "#ifndef $guard" "$header"
done
for standard in c99 c11 c17; do
	tap_check "vmm/stet.h as $standard, pedantic" gcc -std=$standard -pedantic-errors "${strict[@]}" \
		-fsyntax-only -x c vmm/stet.h
done
cxx=$(command -v clang++ || command -v g++)
if [ -n "$cxx" ] && "$cxx" -x c++ -fsyntax-only /dev/null 2>/dev/null; then
	tap_check "vmm/stet.h as C++" "$cxx" -std=c++11 -pedantic-errors -Wall -Wextra -Werror \
		-Wno-pragma-once-outside-header -fsyntax-only -x c++ vmm/stet.h
else
	tap_skip "vmm/stet.h as C++" "no C++ compiler"
fi

tap_end
