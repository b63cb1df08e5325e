# SPDX-License-Identifier: Apache-2.0
# Completion of stet for bash.
# shellcheck disable=SC2207 # word lists without blanks

_stet_words()
{
	COMPREPLY=($(compgen -W "$1" -- "$cur"))
}

_stet_files()
{
	local IFS=$'\n'

	compopt -o filenames 2>/dev/null
	COMPREPLY=($(compgen -f -- "$cur"))
}

_stet_directories()
{
	local IFS=$'\n'

	compopt -o filenames 2>/dev/null
	COMPREPLY=($(compgen -d -- "$cur"))
}

# The value of option $1. Fails where it takes none.
_stet_value()
{
	case $1 in
	-k | --kernel | -i | --initrd) _stet_files ;;
	-a | --cmdline | --workdir) COMPREPLY=() ;;
	--root) _stet_directories ;;
	--env) COMPREPLY=($(compgen -e -- "$cur")) ;;
	-c | --cpus) _stet_words "1 2 4 8 16 32" ;;
	-m | --memory) _stet_words "128M 256M 512M 1G 2G 4G 8G" ;;
	--backing) _stet_words "auto hugetlb-1G hugetlb-2M thp 4k" ;;
	--fault-around) _stet_words "8 16 32 64 128 256 512" ;;
	--boot) _stet_words "auto linux64 pvh" ;;
	--disk) _stet_files ;;
	--net) _stet_words "user tap=" ;;
	--transport) _stet_words "auto pci mmio" ;;
	--vsock) _stet_words "uds=" ;;
	--prefault) _stet_words "on off require" ;;
	--console | --hvc)
		if [[ $cur == file:* ]]; then
			cur=${cur#file:}
			_stet_files
		else
			_stet_words "tty none file:"
			[[ ${COMPREPLY[*]} != file: ]] || compopt -o nospace 2>/dev/null
		fi
		;;
	--log-level) _stet_words "error warning info debug" ;;
	*) return 1 ;;
	esac
}

_stet()
{
	local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local run_options="--kernel --name --initrd --cmdline --cpus --memory --backing --prefault --fault-around --boot
		--disk --net --vsock --rng --transport --console --hvc --root --workdir --env --stats --json --log-level --verbose --quiet --help"

	COMPREPLY=()
	# bash splits at = and : (COMP_WORDBREAKS): "--backing=th" comes as three words.
	if [[ $cur == "=" ]]; then
		cur=
		previous=${COMP_WORDS[COMP_CWORD - 1]}
	elif [[ $previous == "=" ]]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if ((COMP_CWORD == 1)); then
		_stet_words "run info why --help --version"
		return
	fi
	if [[ $previous == ":" && ${COMP_WORDS[COMP_CWORD - 2]} == file ]] ||
		[[ $cur == ":" && $previous == file ]]; then
		[[ $cur != ":" ]] || cur=
		_stet_files
		return
	fi
	case ${COMP_WORDS[1]} in
	run)
		if [[ $previous == --stats && ${COMP_WORDS[COMP_CWORD - 1]} == "=" ]]; then
			_stet_files
			return
		fi
		_stet_value "$previous" || _stet_words "$run_options"
		;;
	info) _stet_words "--json --help" ;;
	why)
		case $previous in
		-n | --interval | -c | --count) ;;
		*) _stet_words "--interval --count --json --help" ;;
		esac
		;;
	esac
}

complete -F _stet stet
