# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The emulated Intel host: Bochs with VMX, EPT and unrestricted guest, booted from an ISO image.
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

# Makes $work/host.iso from kernel $1, initrd $2 and command line $3.
intel_iso()
{
	local tree=$work/iso
	mkdir -p "$tree/boot/grub"
	cp "$1" "$tree/boot/k"
	cp "$2" "$tree/boot/i"
	cat >"$tree/boot/grub/grub.cfg" <<-END
		set timeout=0
		terminal_output console
		linux /boot/k $3
		initrd /boot/i
		boot
	END
	grub-mkrescue -o "$work/host.iso" --install-modules="linux normal iso9660 biosdisk" \
		--fonts= --locales= --themes= --compress=no "$tree" >"$work/iso.log" 2>&1 ||
		die_start "grub-mkrescue failed: $(tail -n 3 "$work/iso.log")"
	rm -rf "$tree"
}

# Starts Bochs in the background; its process id goes to $emulator_pid. Arguments as amd_start.
# shellcheck disable=SC2034 # emulator_pid is read by lab
intel_start()
{
	intel_iso "$1" "$2" "$3 $intel_arguments"
	cat >"$work/bochsrc" <<-END
		megs: $memory_mib
		cpu: model=corei7_haswell_4770, count=1, ips=200000000, reset_on_triple_fault=0
		romimage: file=/usr/share/bochs/BIOS-bochs-latest
		vgaromimage: file=/usr/share/vgabios/vgabios.stdvga.bin
		display_library: term
		pci: enabled=1, chipset=i440fx
		ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
		ata0-master: type=cdrom, path=$work/host.iso, status=inserted
		boot: cdrom
		clock: sync=none, time0=1700000000
		com1: enabled=1, mode=file, dev=$work/console
		com2: enabled=1, mode=file, dev=$work/out
		com3: enabled=1, mode=file, dev=$work/err
		com4: enabled=1, mode=file, dev=$work/control
		panic: action=fatal
		error: action=report
		log: $work/bochs.log
	END
	# The package is a debugger build: it waits for the command to continue.
	echo c >"$work/bochs.commands"
	script -qefc "exec bochs -q -f '$work/bochsrc' -rc '$work/bochs.commands'" /dev/null \
		</dev/null >"$work/emulator.log" 2>&1 &
	emulator_pid=$!
}
