# SPDX-License-Identifier: Apache-2.0
# Completion of stet for fish.
set -l verbs run info why
complete -c stet -f
complete -c stet -n "not __fish_seen_subcommand_from $verbs" -a run -d "Boot a kernel"
complete -c stet -n "not __fish_seen_subcommand_from $verbs" -a info -d "What this host can do"
complete -c stet -n "not __fish_seen_subcommand_from $verbs" -a why -d "What takes memory of a VM away"
complete -c stet -n "not __fish_seen_subcommand_from $verbs" -l help -d "Print help"
complete -c stet -n "not __fish_seen_subcommand_from $verbs" -l version -d "Print the version"

set -l run "__fish_seen_subcommand_from run"
complete -c stet -n $run -s k -l kernel -r -F -d "Kernel to boot"
complete -c stet -n $run -l name -x -d "What stet why calls it by"
complete -c stet -n $run -s i -l initrd -r -F -d "Initial RAM disk"
complete -c stet -n $run -s a -l cmdline -x -d "Kernel command line"
complete -c stet -n $run -s c -l cpus -x -a "1 2 4 8 16 32" -d "Virtual CPUs"
complete -c stet -n $run -s m -l memory -x -a "128M 256M 512M 1G 2G 4G 8G" -d "Guest memory"
complete -c stet -n $run -l backing -x -a "auto hugetlb-1G hugetlb-2M thp 4k" -d "Kind of pages"
complete -c stet -n $run -l prefault -x -a "on off require" -d "Map all memory beforehand"
complete -c stet -n $run -l fault-around -x -a "8 16 32 64 128 256 512" -d "Pages mapped on a fault"
complete -c stet -n $run -l boot -x -a "auto linux64 pvh" -d "How the kernel is entered"
complete -c stet -n $run -l disk -r -d "Disk: raw image or block device"
complete -c stet -n $run -l net -x -a "user tap=" -d "Network device"
complete -c stet -n $run -l rng -d "Entropy device"
complete -c stet -n $run -l transport -x -a "auto pci mmio" -d "How virtio devices are found"
complete -c stet -n $run -l console -x -a "tty none file:" -d "Serial console"
complete -c stet -n $run -l stats -d "Write statistics at the end"
complete -c stet -n $run -l json -d "Statistics as JSON"
complete -c stet -n $run -l log-level -x -a "error warning info debug" -d "What is said"
complete -c stet -n $run -s v -l verbose -d "One log level more"
complete -c stet -n $run -s q -l quiet -d "Errors only"
complete -c stet -n $run -s h -l help -d "Print help"

complete -c stet -n "__fish_seen_subcommand_from info" -l json -d "As JSON"
complete -c stet -n "__fish_seen_subcommand_from info" -s h -l help -d "Print help"

complete -c stet -n "__fish_seen_subcommand_from why" -s n -l interval -x -d "How often to look"
complete -c stet -n "__fish_seen_subcommand_from why" -s c -l count -x -d "Reports"
complete -c stet -n "__fish_seen_subcommand_from why" -l json -d "As JSON"
