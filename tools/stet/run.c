/* SPDX-License-Identifier: Apache-2.0 */
/* run: `stet run` makes a VM of its options, stays with it to its end and says how it ended. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/stet/console.h"
#include "tools/stet/devices.h"
#include "tools/stet/message.h"
#include "tools/stet/options.h"
#include "tools/stet/signals.h"
#include "tools/stet/terminal.h"
#include "tools/stet/verbs.h"
#include "vmm/stet.h"

/* While the terminal belongs to another job, how often to see whether it is ours again. */
#define BACKGROUND_POLL_MS 300

#define CMDLINE_ALWAYS  "reboot=k panic=-1"
#define CMDLINE_CONSOLE "console=ttyS0 " CMDLINE_ALWAYS
/* Without virtio devices on PCI there is no bus: a kernel that does not look for one spares some
 * 225 exits. */
#define CMDLINE_NO_PCI  " pci=off"

struct run_options {
	const char *name;
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	uint32_t cpus;
	uint64_t memory_bytes;
	int backing;
	int prefault;
	int boot;
	uint32_t fault_around;
	int transport;
	bool rng;
	struct option_list disks, nets;
	const char *console; /* "tty", "none" or "file:PATH" */
	const char *stats;   /* NULL: none; "": not to a file */
	bool json;
	int log_level;
	int verbose;
	bool quiet;
};

/* A run, from its options to its exit code; on the stack of verb_run(). Descriptors are -1 where
 * there is none. */
struct run {
	struct run_options options;
	struct devices devices;
	struct stet_vm *vm;
	struct console console;
	struct signals signals;
	bool console_in;    /* standard input is the guest's */
	bool terminal;      /* and it is a terminal */
	int console_out_fd; /* for the library */
	int console_file_fd;
	int stats_fd;
	bool asked;     /* the power button was pressed */
	int end_signal; /* this signal ended the run */
	bool quit;      /* Ctrl-a x did */
};

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

static const struct option options[] = {
	{ 'k', "kernel", "FILE", OPTION_TEXT, FIELD(kernel), NULL,
	  "kernel to boot: bzImage or ELF vmlinux (required)" },
	{ 'i', "initrd", "FILE", OPTION_TEXT, FIELD(initrd), NULL, "initial RAM disk" },
	{ 'a', "cmdline", "TEXT", OPTION_TEXT, FIELD(cmdline), NULL,
	  "kernel command line, exactly as given; the default is\n"
	  "\"" CMDLINE_CONSOLE "\" (no console= without one;\n"
	  "pci=off as well where there are no devices on PCI)" },
	{ 0, "name", "NAME", OPTION_TEXT, FIELD(name), NULL, "what stet why calls it by" },
	{ 'c', "cpus", "N", OPTION_NUMBER, FIELD(cpus), NULL, "virtual CPUs, 1 to 32 (default 1)" },
	{ 'm', "memory", "SIZE", OPTION_SIZE, FIELD(memory_bytes), NULL,
	  "guest memory, a multiple of 2M (default 512M)" },
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
	  "serial console: standard input and output, none, or output\n"
	  "to a file (default tty)" },
	{ 0, "disk", "FILE|path=FILE,...", OPTION_LIST, FIELD(disks), NULL,
	  "a disk (vda, vdb ...): a raw image or block device; keys: ro,\n"
	  "direct, id=SERIAL, bw=SIZE, iops=N, bw-burst, iops-burst" },
	{ 0, "net", "tap=NAME|user,...", OPTION_LIST, FIELD(nets), NULL,
	  "a network device on a tap, or on passt (user); keys: mac=, mtu=,\n"
	  "queues=N (tap), forward=[udp:]HOST[:GUEST] (user),\n"
	  "rx-bw=SIZE, rx-iops=N, tx-bw=SIZE, tx-iops=N" },
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
	{ 'h', "help", NULL, OPTION_HELP, 0, NULL, "print this and exit" },
	{ 0, NULL, NULL, OPTION_HELP, 0, NULL, NULL },
};

static void print_help(void)
{
	printf("Usage: stet run --kernel FILE [OPTION]...\n"
	       "Boots a Linux kernel in a virtual machine whose memory is mapped beforehand.\n"
	       "\n"
	       "Options:\n");
	options_print(options);
	printf("\n"
	       "A SIZE is a number with K, M, G or T (powers of 1024); without one it counts MiB.\n"
	       "\n"
	       "On a terminal: Ctrl-a x ends the VM, Ctrl-a s prints statistics, Ctrl-a h helps,\n"
	       "Ctrl-a a sends Ctrl-a. SIGTERM presses the power button; a second one ends the VM.\n"
	       "\n"
	       "Exit code: 0 guest powered off (or Ctrl-a x), 32 guest reset, 33 guest crashed,\n"
	       "34 guest panicked, 1 error, 2 wrong usage, 128+N ended by signal N.\n");
}

/* Files are opened before anything is made, so that no guest runs in vain. */
static int open_output(const char *path, const char *what, int *fd)
{
	*fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
	if (*fd >= 0)
		return 0;
	message("cannot write %s '%s': %s", what, path, strerror(errno));
	return EXIT_STET;
}

static int open_console(struct run *run)
{
	const char *console = run->options.console;
	char why[OPTIONS_WHY_BYTES];

	if (strcmp(console, "none") == 0)
		return 0;
	if (strncmp(console, "file:", 5) == 0) {
		if (!console[5])
			return usage_error("run", "--console file: needs a path: file:PATH");
		if (open_output(console + 5, "console file", &run->console_file_fd))
			return EXIT_STET;
		run->console_out_fd = run->console_file_fd;
		return 0;
	}
	if (strcmp(console, "tty") != 0) {
		snprintf(why, sizeof(why),
			 "--console: unknown value '%.200s'; known: tty none file:PATH", console);
		return usage_error("run", why);
	}
	run->console_in = true;
	run->console_out_fd = STDOUT_FILENO;
	run->terminal = isatty(STDIN_FILENO);
	return 0;
}

static int open_stats(struct run *run)
{
	const char *path = run->options.stats;

	if (!path && !run->options.json)
		return 0;
	if (path && *path)
		return open_output(path, "statistics file", &run->stats_fd);
	run->stats_fd = run->options.json && run->console_out_fd != STDOUT_FILENO ? STDOUT_FILENO
										  : STDERR_FILENO;
	return 0;
}

static const char *default_cmdline(const struct run *run)
{
	const struct run_options *wanted = &run->options;
	bool devices = wanted->rng || wanted->disks.count || wanted->nets.count;
	bool pci = devices && wanted->transport != STET_TRANSPORT_MMIO;

	if (run->console_out_fd >= 0)
		return pci ? CMDLINE_CONSOLE : CMDLINE_CONSOLE CMDLINE_NO_PCI;
	return pci ? CMDLINE_ALWAYS : CMDLINE_ALWAYS CMDLINE_NO_PCI;
}

static void fill_config(const struct run *run, struct stet_config *config)
{
	const struct run_options *wanted = &run->options;
	int level = wanted->quiet ? (int)STET_LOG_ERROR : wanted->log_level + wanted->verbose;

	stet_config_init(config);
	config->kernel_path = wanted->kernel;
	config->initrd_path = wanted->initrd;
	config->cmdline = wanted->cmdline;
	if (!config->cmdline)
		config->cmdline = default_cmdline(run);
	config->vcpu_count = wanted->cpus;
	config->memory_bytes = wanted->memory_bytes;
	config->backing = (enum stet_backing)wanted->backing;
	config->prefault = (enum stet_prefault)wanted->prefault;
	config->boot = (enum stet_boot)wanted->boot;
	config->fault_around = wanted->fault_around;
	config->transport = (enum stet_transport)wanted->transport;
	config->rng = wanted->rng;
	config->disks = run->devices.disk_list;
	config->disk_count = run->devices.disk_count;
	config->nets = run->devices.net_list;
	config->net_count = run->devices.net_count;
	config->count_invalidations = wanted->stats || wanted->json;
	config->console_in_fd = run->console_in ? run->console.read_fd : -1;
	config->console_out_fd = run->console_out_fd;
	config->log = message_log;
	config->log_level = (enum stet_log_level)(level < STET_LOG_DEBUG ? level : STET_LOG_DEBUG);
	if (!wanted->quiet)
		config->progress = message_progress;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int start(struct run *run, uint64_t start_ns, uint64_t parsed_ns)
{
	struct message_progress progress = { .start_ns = now_ns() };
	struct stet_error error = { .code = 0 };
	struct stet_config config;

	fill_config(run, &config);
	config.progress_opaque = &progress;
	config.start_ns = start_ns;
	config.parsed_ns = parsed_ns;
	if (stet_vm_create(&config, &run->vm, &error) || stet_vm_start(run->vm, &error)) {
		message("%s", error.text);
		return EXIT_STET;
	}
	return 0;
}

static int write_stats(struct run *run, int fd, enum stet_format format)
{
	struct stet_error error = { .code = 0 };
	char *text;
	int result;

	if (stet_vm_stats(run->vm, format, &text, &error)) {
		message("no statistics: %s", error.text);
		return EXIT_STET;
	}
	result = message_write(fd, text);
	stet_text_free(text);
	if (!result)
		return 0;
	message("cannot write the statistics: %s", strerror(-result));
	return EXIT_STET;
}

static void on_command(void *opaque, enum console_command command)
{
	struct run *run = opaque;

	switch (command) {
	case CONSOLE_QUIT:
		run->quit = true;
		return;
	case CONSOLE_STATS:
		(void)message_write(STDERR_FILENO, "\n");
		(void)write_stats(run, STDERR_FILENO, STET_FORMAT_TABLE);
		return;
	case CONSOLE_HELP:
		(void)message_write(STDERR_FILENO, "\nCtrl-a x  end the virtual machine now\n"
						   "Ctrl-a s  print statistics\n"
						   "Ctrl-a a  send Ctrl-a\n"
						   "Ctrl-a h  this help\n");
		return;
	case CONSOLE_NOTHING:
		return;
	}
}

static void on_signal(struct run *run, int number)
{
	switch (number) {
	case SIGTERM:
	case SIGINT:
		if (run->asked || stet_vm_power_button(run->vm)) {
			run->end_signal = number;
			return;
		}
		run->asked = true;
		if (!run->options.quiet)
			message("asked the guest to power off; once more ends it");
		return;
	case SIGTSTP:
		terminal_give_back();
		(void)raise(SIGSTOP);
		return;
	case SIGCONT: /* a shell may have changed the modes meanwhile */
		if (run->terminal)
			(void)terminal_take();
		return;
	case 0:
		return;
	default:
		run->end_signal = number;
	}
}

/* What poll() watches. */
enum {
	POLL_END,
	POLL_SIGNAL,
	POLL_INPUT, /* standard input */
	POLL_PIPE,  /* room for what waits */
	POLL_COUNT,
};

static void on_input(struct run *run, short events)
{
	bool gone = console_read(&run->console, on_command, run) != 0;

	if (!gone || (run->terminal && !(events & POLLHUP) && !terminal_take()))
		return; /* another job has the terminal now */
	if (sigismember(&run->signals.read, SIGHUP))
		run->end_signal = SIGHUP;
	else
		run->console.ended = true; /* nohup */
}

/* One wait and what came of it. */
static void turn(struct run *run)
{
	struct pollfd polls[POLL_COUNT] = {
		[POLL_END] = { .fd = stet_vm_event_fd(run->vm), .events = POLLIN },
		[POLL_SIGNAL] = { .fd = run->signals.fd, .events = POLLIN },
		[POLL_INPUT] = { .fd = -1, .events = POLLIN },
		[POLL_PIPE] = { .fd = -1, .events = POLLOUT },
	};
	bool ours = !run->terminal || terminal_taken() || terminal_take();

	if (run->console_in && console_waits(&run->console))
		polls[POLL_PIPE].fd = run->console.write_fd;
	else if (run->console_in && !run->console.ended && ours)
		polls[POLL_INPUT].fd = STDIN_FILENO;
	if (poll(polls, POLL_COUNT, ours ? -1 : BACKGROUND_POLL_MS) < 0)
		return; /* EINTR: all signals are blocked, but a debugger may */
	if (polls[POLL_SIGNAL].revents)
		on_signal(run, signals_next(&run->signals));
	if (polls[POLL_PIPE].revents)
		console_flush(&run->console);
	if (polls[POLL_INPUT].revents)
		on_input(run, polls[POLL_INPUT].revents);
}

/* Says how the VM ended and returns the exit code of that. */
static int say_end(struct run *run)
{
	static const struct {
		int code;
		const char *line;
	} ends[] = {
		[STET_END_NONE] = { EXIT_STET, "the virtual machine did not end" },
		[STET_END_POWEROFF] = { EXIT_POWEROFF, NULL },
		[STET_END_RESET] = { EXIT_RESET, "the guest asked for a reset" },
		[STET_END_CRASH] = { EXIT_CRASH, "the guest crashed" },
		[STET_END_PANIC] = { EXIT_PANIC, "the guest's kernel panicked" },
		[STET_END_STOPPED] = { EXIT_POWEROFF, NULL },
		[STET_END_ERROR] = { EXIT_STET, "the virtual machine failed" },
	};
	enum stet_end end = stet_vm_end(run->vm);
	const char *report = stet_vm_report(run->vm);

	if (run->end_signal)
		return EXIT_SIGNAL + run->end_signal;
	if ((size_t)end >= sizeof(ends) / sizeof(ends[0]))
		return EXIT_STET;
	if (*report)
		message("%.*s", (int)strcspn(report, "\n"), report);
	else if (ends[end].line && (!run->options.quiet || ends[end].code == EXIT_STET))
		message("%s", ends[end].line);
	report += strcspn(report, "\n");
	if (*report)
		(void)message_write(STDERR_FILENO, report + 1);
	return ends[end].code;
}

/* The VM exists: stays with it to its end. */
static int stay(struct run *run)
{
	int code;

	signals_ready(&run->signals);
	while (stet_vm_end(run->vm) == STET_END_NONE && !run->end_signal && !run->quit)
		turn(run);
	if (run->end_signal || run->quit)
		(void)stet_vm_stop(run->vm);
	else
		(void)stet_vm_wait(run->vm, -1); /* for the last of the guest's output */
	terminal_close();
	code = say_end(run);
	if (run->stats_fd >= 0 &&
	    write_stats(run, run->stats_fd,
			run->options.json ? STET_FORMAT_JSON : STET_FORMAT_TABLE))
		code = EXIT_STET;
	return code;
}

/* Signals, terminal and pipe around the VM's life. */
static int run_vm(struct run *run, uint64_t start_ns, uint64_t parsed_ns)
{
	int result = 0;
	int code;

	if (run->terminal)
		result = terminal_open(); /* before there is a second thread */
	if (!result)
		result = signals_open(&run->signals);
	if (result) {
		message("cannot prepare for signals: %s", strerror(-result));
		return EXIT_STET;
	}
	if (run->console_in)
		result = console_open(&run->console, run->terminal);
	if (result) {
		message("cannot make a pipe: %s", strerror(-result));
		signals_close(&run->signals);
		return EXIT_STET;
	}
	code = start(run, start_ns, parsed_ns);
	if (!code)
		code = stay(run);
	stet_vm_destroy(run->vm);
	if (run->console_in)
		console_close(&run->console);
	signals_close(&run->signals);
	terminal_close();
	return code;
}

int verb_run(char **arguments, uint64_t start_ns)
{
	struct run run = {
		.options = { .cpus = 1,
			     .memory_bytes = UINT64_C(512) << 20,
			     .backing = STET_BACKING_AUTO,
			     .prefault = STET_PREFAULT_ON,
			     .boot = STET_BOOT_AUTO,
			     .console = "tty",
			     .log_level = STET_LOG_WARNING },
		.console_out_fd = -1,
		.console_file_fd = -1,
		.stats_fd = -1,
	};
	struct options_error error;
	uint64_t parsed_ns;
	int code;

	switch (options_parse(options, arguments, &run.options, &error)) {
	case OPTIONS_HELP_WANTED:
		print_help();
		return 0;
	case OPTIONS_WRONG:
		return usage_error("run", error.why);
	case OPTIONS_OK:
		break;
	}
	if (!run.options.kernel)
		return usage_error("run", "no kernel; say --kernel FILE");
	/* stet why finds it in our arguments; a number would be taken for a process. */
	if (run.options.name && run.options.name[strspn(run.options.name, "0123456789")] == 0)
		return usage_error("run", "--name: a name is not empty and not a number");
	if (devices_parse(&run.devices, &run.options.disks, &run.options.nets, &error)) {
		devices_free(&run.devices);
		return usage_error("run", error.why);
	}
	parsed_ns = now_ns();
	code = open_console(&run);
	if (!code)
		code = open_stats(&run);
	if (!code)
		code = run_vm(&run, start_ns, parsed_ns);
	devices_free(&run.devices);
	if (run.console_file_fd >= 0)
		close(run.console_file_fd);
	if (run.stats_fd > STDERR_FILENO)
		close(run.stats_fd);
	return code;
}
