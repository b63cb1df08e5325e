#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Completion for bash, zsh and fish: real calls, and every option of --help is known to each.
set -u
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

folder=$tap_root/tools/completion
run --help
verbs=$(sed -n '/^Verbs/,/^$/s/^  \([a-z]*\) .*/\1/p' "$out" | sort)
# options VERB: one a line, as its help has them
options()
{
	"$stet" "$1" --help | sed -n 's/^  \(-., \|    \)--\([a-z-]*\).*/\2/p' | sort
}

# offered WORD...: what bash offers for the last word; readline's split at = and : is imitated.
offered()
{
	bash -c '
		source "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_stet
		printf "%s\n" "${COMPREPLY[@]}"' bash "$folder/stet.bash" "$@" 2>/dev/null
}

# offers NAME WANTED WORD...: WANTED is the whole answer, blanks for newlines.
offers()
{
	local name=$1 wanted=$2 got
	shift 2
	got=$(offered "$@" | sort | paste -sd' ')
	if [ "$got" = "$wanted" ]; then
		tap_ok "bash: $name"
	else
		tap_not_ok "bash: $name" "wanted '$wanted'" "got    '$got'"
	fi
}

offers "verbs" "run" stet r
offers "verbs and options" "$(printf '%s\n' "$verbs" --help --version | sort | paste -sd' ')" stet ""
offers "options" "--backing --boot" stet run --b
for verb in $verbs; do
	offers "all options of $verb" "--$(options "$verb" | paste -sd' ' | sed 's/ / --/g')" stet "$verb" --
done
offers "values" "hugetlb-1G hugetlb-2M" stet run --backing huge
offers "values after =" "hugetlb-1G hugetlb-2M" stet run --backing = huge
offers "all values after =" "4k auto hugetlb-1G hugetlb-2M thp" stet run --backing =
offers "values of --prefault" "off on" stet run -k x --prefault o
touch "$tap_dir/vmlinuz"
offers "files" "$tap_dir/vmlinuz" stet run -k "$tap_dir/vml"
offers "files after --stats=" "$tap_dir/vmlinuz" stet run --stats = "$tap_dir/vml"
offers "files after --console file:" "$tap_dir/vmlinuz" stet run --console file : "$tap_dir/vml"
offers "nothing for a text" "" stet run --cmdline ""

if command -v fish >/dev/null; then
	got=$(fish --no-config -c "source $folder/stet.fish; complete -C 'stet run --b'" | cut -f1 | sort |
		paste -sd' ')
	tap_check "fish: options" test "$got" = "--backing --boot"
	got=$(fish --no-config -c "source $folder/stet.fish; complete -C 'stet run --backing h'" | cut -f1 |
		sort | paste -sd' ')
	tap_check "fish: values" test "$got" = "hugetlb-1G hugetlb-2M"
else
	tap_skip "fish" "not installed"
fi
if command -v zsh >/dev/null; then
	tap_check "zsh: the file parses" zsh -n "$folder/_stet"
	cat >"$tap_dir/.zshrc" <<-END
		PS1="%% "
		fpath=($folder \$fpath)
		autoload -Uz compinit
		compinit -u -D
	END
	# A terminal on which somebody types a beginning and a tabulator: what is missing comes out.
	zsh_completes()
	{
		tap_check "zsh: $1" env ZDOTDIR="$tap_dir" "$pty" 'expect:% ' "send:$2" "expect:$2" \
			$'send:\t' "expect:$3" -- zsh -i
	}
	zsh_completes "verbs" "stet inf" o
	zsh_completes "options" "stet run --backi" ng
	zsh_completes "values" "stet run --backing hugetlb-1" G
else
	tap_skip "zsh" "not installed"
fi
for file in stet.bash _stet stet.fish; do
	missing=
	for verb in $verbs; do
		grep -qE "\b$verb\b" "$folder/$file" || missing+=" $verb"
		for option in $(options "$verb"); do
			grep -qE -e "(--|-l )$option\b" "$folder/$file" || missing+=" $verb --$option"
		done
	done
	tap_check "$file knows every verb and option${missing:+, but not$missing}" test -z "$missing"
done

tap_end
