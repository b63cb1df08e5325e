# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The emulated Intel host: Bochs with VMX, EPT and unrestricted guest, started without a boot loader: Bochs
# puts kernel, initrd and command line in memory, an option ROM (bochs-boot.S) jumps to the kernel.
# Sourced by tools/lab/lab; see there for the variables.

# shellcheck disable=SC2034 # read by lab
intel_vendor_module=kvm-intel
# shellcheck disable=SC2034 # read by lab
intel_packages="lab lab-intel"
intel_time_limit_s=900

# What the kernel need not do on its way up, being slow here: self tests, certificates nobody asks
# for, tables for kprobe events and BPF.
intel_arguments="nosmp cryptomgr.notests initcall_blacklist=trace_eval_init,init_kprobe_trace\
,jent_mod_init,load_system_certificate_list,bpf_dummy_struct_ops_init,bpf_tcp_ca_kfunc_init"

# Prints the path of the program that ends the machine from inside.
intel_off_program()
{
	gcc -O2 -static -o "$work/bochs-off" "$here/bochs-off.c" || die_start "bochs-off.c does not compile"
	echo "$work/bochs-off"
}

# Guest-physical addresses; bochs-boot.S knows them too.
intel_memory_gpa=$((0x100000))
intel_kernel_gpa=$((0x1000000))
# Bochs' unit of memory (BX_MEM_BLOCK_LEN), or a divisor of it.
intel_block_bytes=$((0x20000))

# Prints number $2 as $1 bytes, little-endian.
little_endian()
{
	local i text=''
	for ((i = 0; i < $1; i++)); do
		text+=$(printf '\\x%02x' $((($2 >> (8 * i)) & 255)))
	done
	printf '%b' "$text"
}

# Writes standard input over file $1 from offset $2.
patch_file()
{
	dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Prints the little-endian number of $3 bytes at offset $2 of file $1.
number_in()
{
	od -An -v -t "u$3" --endian=little -j "$2" -N "$3" "$1" | tr -d ' '
}

# Makes the option ROM $work/boot.rom.
intel_rom()
{
	local sum
	{
		gcc -c -o "$work/boot.o" "$here/bochs-boot.S" &&
			ld -Ttext=0xd0000 -e rom -o "$work/boot.elf" "$work/boot.o" &&
			objcopy -O binary -j .text "$work/boot.elf" "$work/boot.rom"
	} >"$work/rom.log" 2>&1 || die_start "bochs-boot.S does not build: $(tail -n 3 "$work/rom.log")"
	# A BIOS takes an option ROM only when its bytes sum up to 0 modulo 256.
	sum=$(od -An -v -t u1 "$work/boot.rom" | tr -s ' ' '\n' | awk '{ s += $1 } END { print s % 256 }')
	little_endian 1 $(((256 - sum) % 256)) | patch_file "$work/boot.rom" 2047
}

# Prints the path of kernel image $1 (a bzImage) as it lies in memory from 16 MiB on; cached.
intel_flat_kernel()
{
	local flat
	flat=$cache/images/$(sha256sum <"$1" | cut -c1-32).kernel
	if [ ! -f "$flat" ]; then
		"$here/extract-vmlinux" "$1" "$work/vmlinux" &&
			objcopy -O binary "$work/vmlinux" "$work/flat" || die_start "no vmlinux in $1"
		[ "$(readelf -lW "$work/vmlinux" | awk '$1 == "LOAD" { print $4; exit }')" = 0x0000000001000000 ] ||
			die_start "the kernel $1 is not linked to run at 16 MiB"
		readelf -hW "$work/vmlinux" | sed -n 's/.*Entry point address: *//p' >"$work/entry"
		mv "$work/entry" "$flat.entry"
		mv "$work/flat" "$(dirname "$flat")/.$$.kernel"
		mv "$(dirname "$flat")/.$$.kernel" "$flat"
		rm "$work/vmlinux"
	fi
	touch "$flat" "$flat.entry"
	echo "$flat"
}

# Makes $work/memory: what Bochs loads from 1 MiB on, for bzImage $1, initrd $2, command line $3 and
# the kernel $4 of intel_flat_kernel. Offsets: "The Real-Mode Kernel Header" of the Linux/x86 boot
# protocol.
intel_memory()
{
	local file=$work/memory header_end initrd_gpa initrd_bytes
	[ ${#3} -lt 2048 ] || die_start "the kernel's command line is longer than 2047 characters"
	# Behind everything the kernel uses before it knows its memory map (init_size).
	initrd_gpa=$(((intel_kernel_gpa + $(number_in "$1" $((0x260)) 4) + 0x1fffff) & ~0x1fffff))
	initrd_bytes=$(stat -c %s "$2")
	[ $((initrd_gpa + 2 * initrd_bytes)) -lt $(((memory_mib - 64) << 20)) ] ||
		die_start "--memory $memory is too small for shared files of $((initrd_bytes >> 20)) MiB"

	rm -f "$file"
	truncate -s $((3 * 4096)) "$file"
	header_end=$((0x202 + $(number_in "$1" $((0x201)) 1)))
	dd if="$1" of="$file" bs=1 skip=$((0x1f1)) seek=$((0x1f1)) count=$((header_end - 0x1f1)) \
		conv=notrunc status=none
	little_endian 1 255 | patch_file "$file" $((0x210)) # type_of_loader: undefined
	little_endian 4 "$initrd_gpa" | patch_file "$file" $((0x218))
	little_endian 4 "$initrd_bytes" | patch_file "$file" $((0x21c))
	little_endian 4 $((intel_memory_gpa + 4096)) | patch_file "$file" $((0x228))
	printf '%s' "$3" | patch_file "$file" 4096
	little_endian 8 "$(cat "$4.entry")" | patch_file "$file" 8192
	dd if="$4" of="$file" bs=1M seek=$(((intel_kernel_gpa - intel_memory_gpa) >> 20)) conv=notrunc status=none
	dd if="$2" of="$file" bs=1M seek=$(((initrd_gpa - intel_memory_gpa) >> 20)) conv=notrunc status=none ||
		die_start "no room for the image in $work"
}

# Prints the commands for Bochs' debugger. The package is a debugger build and waits for "c".
# Before that each piece of $work/memory is looked at in order: Bochs hands out the memory behind the
# guest's in order of first use, but reads an image in one go past the end of its first piece.
intel_debugger_commands()
{
	local gpa end=$((intel_memory_gpa + $(stat -c %s "$work/memory")))
	for ((gpa = intel_memory_gpa; gpa < end; gpa += intel_block_bytes)); do
		echo "xp /1bx $gpa"
	done
	echo c
}

# Takes what Bochs draws on its screen, for as long as it lives. The screen is a terminal that Bochs makes, and
# where nobody reads it Bochs stands still for ever once the terminal holds no more: after some minutes.
intel_take_screen()
{
	local screen=''
	while [ -z "$screen" ] && kill -0 "$1" 2>/dev/null; do
		sleep 0.2
		screen=$(grep -aom1 'connected to screen "/dev/pts/[0-9]*"' "$work/emulator.log" | cut -d'"' -f2)
	done
	[ -n "$screen" ] || return 0
	exec <"$screen"
	stty raw -echo
	cat >/dev/null 2>&1
}

# Starts Bochs in the background; its process id goes to $emulator_pid. Arguments as amd_start.
# shellcheck disable=SC2034 # emulator_pid is read by lab
intel_start()
{
	local flat
	flat=$(intel_flat_kernel "$1") || exit "$exit_start"
	intel_rom
	intel_memory "$1" "$2" "$3 $intel_arguments" "$flat"
	cat >"$work/bochsrc" <<-END
		megs: $memory_mib
		cpu: model=corei7_haswell_4770, count=1, ips=200000000, reset_on_triple_fault=0
		romimage: file=/usr/share/bochs/BIOS-bochs-latest
		vgaromimage: file=/usr/share/vgabios/vgabios.stdvga.bin
		optromimage1: file=$work/boot.rom, address=0xd0000
		optramimage1: file=$work/memory, address=$intel_memory_gpa
		display_library: term
		pci: enabled=1, chipset=i440fx
		clock: sync=none, time0=1700000000
		com1: enabled=1, mode=file, dev=$work/console
		com2: enabled=1, mode=file, dev=$work/out
		com3: enabled=1, mode=file, dev=$work/err
		com4: enabled=1, mode=file, dev=$work/control
		panic: action=fatal
		error: action=report
		log: $work/bochs.log
	END
	intel_debugger_commands >"$work/bochs.commands"
	script -qefc "exec bochs -q -f '$work/bochsrc' -rc '$work/bochs.commands'" /dev/null \
		</dev/null >"$work/emulator.log" 2>&1 &
	emulator_pid=$!
	intel_take_screen "$emulator_pid" 7>&- 8>&- 9>&- &
}
