#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` leaves is enough for others: tools/tiny.c is built against it in four ways and
# boots a guest.
set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
tap_scratch
# shellcheck disable=SC2154 # set by tap_scratch
prefix=$tap_dir/a\ prefix
work=$tap_dir/work
mkdir "$work"
cd "$tap_root" || exit 1

build()
{
	cmake --preset release -DCMAKE_INSTALL_PREFIX=/usr && cmake --build --preset release &&
		cmake --install build/release --prefix "$prefix"
}
tap_check "release build and installation" build
lib=$(dirname "$(find "$prefix" -name libstet.a)")
for file in bin/stet include/stet.h share/man/man1/stet.1 share/bash-completion/completions/stet \
	share/zsh/site-functions/_stet share/fish/vendor_completions.d/stet.fish; do
	tap_check "$file is installed" test -f "$prefix/$file"
done
for file in libstet.a libstet.so libstet.so.0 pkgconfig/stet.pc cmake/stet/stetConfig.cmake; do
	tap_check "$file is installed" test -f "$lib/$file"
done
tap_check "the soname is libstet.so.0" \
	sh -c 'readelf -d "$1" | grep -q "SONAME.*\[libstet.so.0\]"' sh "$lib/libstet.so"
tap_check "the installed program runs" "$prefix/bin/stet" --version

# A compiler that is told nothing but what the package says.
export PKG_CONFIG_PATH="$lib/pkgconfig"
flags=(-std=c11 -Wall -Wextra -Werror -pedantic)
compile()
{
	local out=$1 words
	shift
	# Quoted by pkg-config where the prefix has blanks.
	eval "words=($(pkg-config "$@" --cflags --libs stet))"
	if [ "$1" = --static ]; then
		words+=(-static)
	fi
	gcc "${flags[@]}" tools/tiny.c "${words[@]}" -o "$out"
}
tap_check "pkg-config, shared" compile "$work/tiny-shared" --print-errors
tap_check "pkg-config, static" compile "$work/tiny-static" --static
tap_check "the shared one needs libstet.so.0" \
	sh -c 'readelf -d "$1" | grep -q "NEEDED.*\[libstet.so.0\]"' sh "$work/tiny-shared"
tap_check "the static one needs nothing" sh -c '! readelf -d "$1" | grep -q NEEDED' sh \
	"$work/tiny-static"

mkdir "$work/project"
cp tools/tiny.c "$work/project"
cat >"$work/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(tiny LANGUAGES C)
find_package(stet ${WANTED} REQUIRED)
add_executable(cmake-shared tiny.c)
target_link_libraries(cmake-shared PRIVATE stet::stet)
add_executable(cmake-static tiny.c)
target_link_libraries(cmake-static PRIVATE stet::static)
target_link_options(cmake-static PRIVATE -static)
END
version=$(sed -n 's/^#define STET_VERSION "\(.*\)"/\1/p' vmm/stet.h)
find_package()
{
	cmake -S "$work/project" -B "$work/$1" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED="$2"
}
cmake_build()
{
	find_package project-build "${version%.*}" && cmake --build "$work/project-build"
}
tap_check "find_package, shared and static" cmake_build
tap_check "find_package refuses another version" sh -c '! "$@"' sh \
	cmake -S "$work/project" -B "$work/newer" -DCMAKE_PREFIX_PATH="$prefix" -DWANTED=99.0
tap_check "the header's, the library's and the package's versions agree" \
	test "$(pkg-config --modversion stet) $("$prefix/bin/stet" --version)" = "$version stet $version"

# Each boots the tiny guest.
tiny_guest=$tap_build/tests/guest/tiny
boots()
{
	local output
	output=$(LD_LIBRARY_PATH=$lib timeout 60 "$@" "$tiny_guest" "" "say=hello-from-tiny" 2>&1 </dev/null)
	echo "$output"
	grep -q hello-from-tiny <<<"$output" && grep -q "tiny: poweroff" <<<"$output"
}
for program in tiny-shared tiny-static project-build/cmake-shared project-build/cmake-static; do
	if [ ! -w /dev/kvm ]; then
		tap_skip "$program boots a guest" "no access to /dev/kvm"
	elif [ ! -x "$tiny_guest" ]; then
		tap_not_ok "$program boots a guest" "$tiny_guest is not built"
	else
		tap_check "$program boots a guest" boots "$work/$program"
	fi
done
tap_check "tiny.c is at most 80 lines" test "$(wc -l <tools/tiny.c)" -le 80

tap_end
