/* SPDX-License-Identifier: Apache-2.0 */
/* run_options: the options of `stet run`. */
#include "tools/stet/run_options.h"

#include <stdio.h>
#include <string.h>

#include "tools/init/settings.h"
#include "vmm/stet.h"

static const struct option_choice backings[] = {
	{ "auto", STET_BACKING_AUTO },
	{ "hugetlb-1G", STET_BACKING_HUGETLB_1G },
	{ "hugetlb-2M", STET_BACKING_HUGETLB_2M },
	{ "thp", STET_BACKING_THP },
	{ "4k", STET_BACKING_4K },
	{ NULL, 0 },
};

static const struct option_choice prefaults[] = {
	{ "on", STET_PREFAULT_ON },
	{ "off", STET_PREFAULT_OFF },
	{ "require", STET_PREFAULT_REQUIRE },
	{ NULL, 0 },
};

static const struct option_choice boots[] = {
	{ "auto", STET_BOOT_AUTO },
	{ "linux64", STET_BOOT_LINUX64 },
	{ "pvh", STET_BOOT_PVH },
	{ NULL, 0 },
};

static const struct option_choice transports[] = {
	{ "auto", STET_TRANSPORT_AUTO },
	{ "pci", STET_TRANSPORT_PCI },
	{ "mmio", STET_TRANSPORT_MMIO },
	{ NULL, 0 },
};

static const struct option_choice log_levels[] = {
	{ "error", STET_LOG_ERROR },
	{ "warning", STET_LOG_WARNING },
	{ "info", STET_LOG_INFO },
	{ "debug", STET_LOG_DEBUG },
	{ NULL, 0 },
};

#define FIELD(name) offsetof(struct run_options, name)

static const struct option table[] = {
	{ 'k', "kernel", "FILE", OPTION_TEXT, FIELD(kernel), NULL,
	  "kernel to boot: bzImage or ELF vmlinux (required, but with\n"
	  "--root one is looked for)" },
	{ 'i', "initrd", "FILE", OPTION_TEXT, FIELD(initrd), NULL, "initial RAM disk" },
	{ 'a', "cmdline", "TEXT", OPTION_TEXT, FIELD(cmdline), NULL,
	  "kernel command line, exactly as given; the default is\n"
	  "\"console=ttyS0 " RUN_CMDLINE "\" (console=\n"
	  "for those there are; behind it what spares exits)" },
	{ 0, "name", "NAME", OPTION_TEXT, FIELD(name), NULL, "what stet why calls it by" },
	{ 'c', "cpus", "N", OPTION_NUMBER, FIELD(cpus), NULL, "virtual CPUs, 1 to 32 (default 1)" },
	{ 'm', "memory", "SIZE", OPTION_SIZE, FIELD(memory_bytes), NULL,
	  "guest memory, a multiple of 2M (default 512M, with --root\n"
	  "what the tree takes)" },
	{ 0, "backing", "KIND", OPTION_CHOICE, FIELD(backing), backings,
	  "pages the memory is made of: auto (the best there is),\n"
	  "hugetlb-1G, hugetlb-2M, thp or 4k (default auto)" },
	{ 0, "prefault", "on|off|require", OPTION_CHOICE, FIELD(prefault), prefaults,
	  "map all memory before the guest runs: on (as far as the\n"
	  "host can), off, or require (else fail) (default on)" },
	{ 0, "fault-around", "N", OPTION_NUMBER, FIELD(fault_around), NULL,
	  "map N pages on a fault: for --prefault off, on a host with\n"
	  "stet's KVM patches (a power of two up to 512)" },
	{ 0, "boot", "PROTOCOL", OPTION_CHOICE, FIELD(boot), boots,
	  "how the kernel is entered: auto (as its file suggests),\n"
	  "linux64 or pvh (default auto)" },
	{ 0, "console", "tty|none|file:PATH", OPTION_TEXT, FIELD(console), NULL,
	  "serial console (ttyS0): standard input and output, none, or\n"
	  "output to a file (default tty, or none with --hvc tty)" },
	{ 0, "hvc", "tty|none|file:PATH", OPTION_TEXT, FIELD(hvc), NULL,
	  "the same for a virtio console (hvc0), which knows the size of\n"
	  "the terminal (default none)" },
	{ 0, "disk", "FILE|path=FILE,...", OPTION_LIST, FIELD(disks), NULL,
	  "a disk (vda, vdb ...): a raw image or block device; keys: ro,\n"
	  "direct, id=SERIAL, bw=SIZE, iops=N, bw-burst, iops-burst" },
	{ 0, "net", "tap=NAME|user,...", OPTION_LIST, FIELD(nets), NULL,
	  "a network device on a tap, or on passt (user); keys: mac=, mtu=,\n"
	  "queues=N (tap), forward=[udp:]HOST[:GUEST] (user),\n"
	  "rx-bw=SIZE, rx-iops=N, tx-bw=SIZE, tx-iops=N" },
	{ 0, "vsock", "uds=PATH,...", OPTION_LIST, FIELD(vsocks), NULL,
	  "virtio sockets: programs reach the guest through the Unix socket\n"
	  "PATH (\"CONNECT PORT\"), it reaches those that listen at\n"
	  "PATH_PORT; key: cid=N (default 3)" },
	{ 0, "rng", NULL, OPTION_FLAG, FIELD(rng), NULL, "a virtio entropy device" },
	{ 0, "transport", "auto|pci|mmio", OPTION_CHOICE, FIELD(transport), transports,
	  "how the guest finds virtio devices (default auto: pci)" },
	{ 0, "stats", "FILE", OPTION_OPTIONAL_TEXT, FIELD(stats), NULL,
	  "write statistics at the end, to FILE or standard error; who may\n"
	  "use perf also sees when the host took guest memory away" },
	{ 0, "json", NULL, OPTION_FLAG, FIELD(json), NULL,
	  "the statistics as JSON; without FILE to standard output,\n"
	  "or to standard error where the console has that" },
	{ 0, "log-level", "LEVEL", OPTION_CHOICE, FIELD(log_level), log_levels,
	  "error, warning, info or debug (default warning)" },
	{ 'v', "verbose", NULL, OPTION_REPEAT, FIELD(verbose), NULL, "one log level more" },
	{ 'q', "quiet", NULL, OPTION_FLAG, FIELD(quiet), NULL, "errors only, no progress bar" },
	{ 0, "root", "DIR", OPTION_TEXT, FIELD(root), NULL,
	  "run COMMAND on the tree DIR, of which the guest gets a copy;\n"
	  "stet's exit code is the command's" },
	{ 0, "workdir", "DIR", OPTION_TEXT, FIELD(workdir), NULL,
	  "the command's working directory in the guest (default: this\n"
	  "one, where it lies in the tree, else /)" },
	{ 0, "env", "NAME[=VALUE]", OPTION_LIST, FIELD(env), NULL,
	  "a variable of the command's environment; without =VALUE that\n"
	  "of this one" },
	{ 0, "", NULL, OPTION_REST, FIELD(command), NULL, NULL },
	{ 'h', "help", NULL, OPTION_HELP, 0, NULL, "print this and exit" },
	{ 0, NULL, NULL, OPTION_HELP, 0, NULL, NULL },
};

void run_options_print(void)
{
	printf("Usage: stet run --kernel FILE [OPTION]...\n"
	       "       stet run --root DIR [OPTION]... -- COMMAND [ARGUMENT]...\n"
	       "Boots a Linux kernel in a virtual machine whose memory is mapped beforehand.\n"
	       "\n"
	       "Options:\n");
	options_print(table);
	printf("\n"
	       "A SIZE is a number with K, M, G or T (powers of 1024); without one it counts MiB.\n"
	       "\n"
	       "On a terminal: Ctrl-a x ends the VM, Ctrl-a s prints statistics, Ctrl-a h helps,\n"
	       "Ctrl-a a sends Ctrl-a. SIGTERM presses the power button; a second one ends the VM.\n"
	       "\n"
	       "With --root the first of these is the kernel: --kernel, $STET_KERNEL, what\n"
	       "tools/guest-kernel/build made, PREFIX/share/stet/vmlinux, /boot/vmlinuz-* (the newest).\n"
	       "SIGINT, SIGTERM, SIGHUP and SIGQUIT go to the command; the third SIGINT or SIGQUIT, or\n"
	       "the second of the others, ends the VM.\n"
	       "\n"
	       "Exit code: with --root the command's, 128+N where signal N killed it, 126 not executable,\n"
	       "127 not found. Else: 0 guest powered off (or Ctrl-a x), 32 guest reset, 33 guest crashed,\n"
	       "34 guest panicked, 1 error, 2 wrong usage, 128+N ended by signal N.\n");
}

enum options_result run_options_parse(struct run_options *wanted, char **arguments,
				      struct options_error *error)
{
	*wanted = (struct run_options){
		.cpus = 1,
		.memory_bytes = RUN_MEMORY_DEFAULT,
		.backing = STET_BACKING_AUTO,
		.prefault = STET_PREFAULT_ON,
		.boot = STET_BOOT_AUTO,
		.log_level = STET_LOG_WARNING,
	};
	return options_parse(table, arguments, wanted, error);
}

const char *run_options_check(const struct run_options *options)
{
	if (options->root && !options->command)
		return "--root needs a command: --root DIR -- COMMAND";
	if (options->command && !options->root)
		return "a command needs a tree to run on: --root DIR";
	if (options->root && !options->command[0])
		return "--root: there is no command behind --";
	for (size_t count = 0; options->root && options->command[count]; count++)
		if (count == SETTINGS_WORDS_MAX)
			return "--root: a command has at most 4096 words";
	if (options->root && options->initrd)
		return "--root makes the initrd: no --initrd with it";
	if (!options->root && (options->workdir || options->env.count))
		return "--workdir and --env are for a command: --root DIR";
	if (options->workdir && options->workdir[0] != '/')
		return "--workdir: a path in the guest begins with /";
	if (!options->root && !options->kernel)
		return "no kernel; say --kernel FILE";
	/* stet why finds it in our arguments; a number would be taken for a process. */
	if (options->name && options->name[strspn(options->name, "0123456789")] == 0)
		return "--name: a name is not empty and not a number";
	return NULL;
}
