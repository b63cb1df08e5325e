#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What options do: help, version, console, statistics; and the manual knows them all.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

version=$(sed -n 's/^#define STET_VERSION "\(.*\)"/\1/p' "$tap_root/vmm/stet.h")
run --version
expect "--version" 0 "stet $version"
run --help
expect "--help" 0 "run" "info" "--version"
run run --help
expect "run --help" 0 "--kernel FILE" "Ctrl-a x" "Exit code:"
run --help
verbs=$(sed -n '/^Verbs/,/^$/s/^  \([a-z]*\) .*/\1/p' "$out")
tap_check "there are verbs" test "$(wc -w <<<"$verbs")" -ge 2
for verb in $verbs; do
	run "$verb" --help
	expect "$verb --help" 0 "Usage: stet $verb" "--help" "xit code:"
	cp "$out" "$tap_dir/$verb-help"
	run "$verb" --no-such-option
	expect "$verb with a wrong option" 2 "stet: " "$verb --help"
done
status=0
"$stet" run --help >/dev/full 2>"$err" || status=$?
expect "help that cannot be written" 1 "No space left"

# ---- the manual and the help name the same options ----
# nothing NAME WORDS: holds when there are none.
nothing()
{
	if [ -z "$2" ]; then
		tap_ok "$1"
	else
		tap_not_ok "$1" "but not:$2"
	fi
}
man=$tap_root/docs/man/stet.1
options=$(sed -n 's/^  \(-., \|    \)--\([a-z-]*\).*/\2/p' "$tap_dir"/*-help | sort -u)
missing=
for option in $options; do
	grep -q "^\.It .*Fl Fl $option\b" "$man" || missing+=" --$option"
done
nothing "every option stands in the manual" "$missing"
unknown=
# shellcheck disable=SC2013 # words
for option in $(sed -n 's/^\.It .*Fl Fl \([a-z-]*\).*/\1/p' "$man" | sort -u); do
	grep -qx -e "$option" <<<"$options" || unknown+=" --$option"
done
nothing "every option of the manual exists" "$unknown"
missing=
while read -r letter name; do
	grep -q "^\.It Fl $letter , Fl Fl $name\b" "$man" || missing+=" -$letter"
done < <(sed -n 's/^  -\(.\), --\([a-z-]*\).*/\1 \2/p' "$tap_dir"/*-help)
nothing "every short option stands in the manual" "$missing"
missing=
for verb in $verbs; do
	grep -qE "^\.(It )?Cm $verb\b" "$man" || missing+=" $verb"
done
nothing "every verb stands in the manual" "$missing"

# ---- info ----
run info
if [ "$status" = 0 ] || [ "$status" = 3 ]; then
	tap_ok "info says whether zero faults are possible"
else
	run_failed "info says whether zero faults are possible"
fi
table_status=$status
run info --json
if [ "$status" = "$table_status" ] && python3 -m json.tool <"$out" >/dev/null; then
	tap_ok "info --json is JSON with the same exit code"
else
	run_failed "info --json is JSON with the same exit code"
fi

need_kvm "console and statistics"

# json EXPRESSION FILE: holds in Python for the document d.
json()
{
	python3 -c "import json, sys; d = json.load(open(sys.argv[1])); assert ($1), d" "$2"
}

# ---- console ----
guest "echo" < <(printf 'abc\001xdefq')
expect "standard input reaches the guest, without escapes when it is no terminal" 0 \
	"$(printf 'abc\001xdefq')"
guest "listen say=NEVER" --console none </dev/null &
pid=$!
sleep 0.3
tap_check "the end of standard input is not the end of the guest" kill -0 "$pid"
pkill -TERM -P "$pid" # the subshell's timeout, which passes it on
wait "$pid"
guest "say=to-the-file" --console "file:$tap_dir/console" </dev/null
expect "a guest with a console file" 0
tap_check "its output is in the file" grep -q to-the-file "$tap_dir/console"
tap_check "and nowhere else" test ! -s "$out"
guest "say=x mark=1" --console none --json </dev/null
expect "no console" 0
tap_check "JSON alone on standard output" json "d['marks'][0]['value'] == 1" "$out"
guest "echo" < <(head -c 20000 /dev/zero | tr '\0' 'a'; printf q)
expect "20,000 bytes of input" 0
tap_check "none is lost" test "$(tr -d '\r\n' <"$out" | wc -c)" = 20001

# ---- command line ----
run run -q -m 16M -k "$tiny" --json --console none
expect "the default command line" 0

# ---- statistics ----
guest "say=out mark=7" --stats </dev/null
expect "--stats: a table on standard error" 0 "out" "stage-2 faults" "mark 7"
tap_check "and the console alone on standard output" test "$(tr -d '\r' <"$out")" = out
guest "say=out mark=7" --stats="$tap_dir/table" </dev/null
expect "--stats=FILE" 0
tap_check "the table is in the file" grep -q "mark 7" "$tap_dir/table"
guest "say=out mark=7" --stats="$tap_dir/stats.json" --json </dev/null
expect "--stats=FILE --json" 0
tap_check "the JSON is in the file" \
	json "d['exit_reason'] == 'poweroff' and d['marks'][0]['value'] == 7" "$tap_dir/stats.json"
guest "reset" --json </dev/null
expect "--json beside a console" 32
tap_check "JSON on standard error" json "d['exit_reason'] == 'reset'" "$err"
guest "say=out" --stats=/dev/full </dev/null
expect "statistics that cannot be written" 1 "cannot write the statistics"
guest "mark=1" --stats --backing 4k -c 2 -m 32 </dev/null
expect "a size without a unit is MiB" 0 "32 MiB" "2 vCPUs"

# ---- how much is said ----
run run -m 16M -k "$tiny" --log-level debug -a say=x
expect "--log-level debug" 0
lines=$(wc -l <"$err")
run run -m 16M -k "$tiny" -a say=x
tap_check "says no less than the default" test "$lines" -ge "$(wc -l <"$err")"
run run -q -m 16M -k "$tiny" -a say=x
tap_check "--quiet says nothing when all is well" test ! -s "$err"
run run -q -k /nonexistent
expect "--quiet tells errors" 1 "No such file"

tap_end
