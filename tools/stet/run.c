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
#include "tools/stet/run_options.h"
#include "tools/stet/signals.h"
#include "tools/stet/terminal.h"
#include "tools/stet/verbs.h"
#include "vmm/stet.h"

/* While the terminal belongs to another job, how often to see whether it is ours again. */
#define BACKGROUND_POLL_MS 300

/* Where one of the guest's consoles goes; the descriptors are -1 where there is none. */
struct place {
	bool tty;   /* standard input and output */
	int out_fd; /* for the library */
	int file_fd;
};

/* A run, from its options to its exit code; on the stack of verb_run(). Descriptors are -1 where
 * there is none. */
struct run {
	struct run_options options;
	struct devices devices;
	struct stet_vm *vm;
	struct console console;
	struct signals signals;
	struct place serial, hvc;
	bool console_in; /* standard input is the guest's */
	bool terminal;   /* and it is a terminal */
	char cmdline[128];
	int stats_fd;
	bool asked;     /* the power button was pressed */
	int end_signal; /* this signal ended the run */
	bool quit;      /* Ctrl-a x did */
};

/* Files are opened before anything is made, so that no guest runs in vain. */
static int open_output(const char *path, const char *what, int *fd)
{
	*fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
	if (*fd >= 0)
		return 0;
	message("cannot write %s '%s': %s", what, path, strerror(errno));
	return EXIT_STET;
}

static int open_place(struct place *place, const char *option, const char *value)
{
	char why[OPTIONS_WHY_BYTES];

	if (strcmp(value, "none") == 0)
		return 0;
	if (strcmp(value, "tty") == 0) {
		place->tty = true;
		place->out_fd = STDOUT_FILENO;
		return 0;
	}
	if (strncmp(value, "file:", 5) != 0 || !value[5]) {
		bool file = strcmp(value, "file:") == 0;

		snprintf(why, sizeof(why),
			 file ? "%s %s needs a path: file:PATH"
			      : "%s: unknown value '%.200s'; known: tty none file:PATH",
			 option, value);
		return usage_error("run", why);
	}
	if (open_output(value + 5, "console file", &place->file_fd))
		return EXIT_STET;
	place->out_fd = place->file_fd;
	return 0;
}

static int open_consoles(struct run *run)
{
	const char *hvc = run->options.hvc ? run->options.hvc : "none";
	const char *serial = run->options.console;
	int code;

	if (!serial)
		serial = strcmp(hvc, "tty") == 0 ? "none" : "tty";
	if (strcmp(serial, hvc) == 0 && strcmp(hvc, "none") != 0)
		return usage_error("run", "--console and --hvc cannot both go to the same place");
	code = open_place(&run->serial, "--console", serial);
	if (!code)
		code = open_place(&run->hvc, "--hvc", hvc);
	run->console_in = run->serial.tty || run->hvc.tty;
	run->terminal = run->console_in && isatty(STDIN_FILENO);
	return code;
}

static int open_stats(struct run *run)
{
	const char *path = run->options.stats;

	if (!path && !run->options.json)
		return 0;
	if (path && *path)
		return open_output(path, "statistics file", &run->stats_fd);
	run->stats_fd = run->options.json && !run->console_in ? STDOUT_FILENO : STDERR_FILENO;
	return 0;
}

/*
 * The console named last is the guest's /dev/console: the one with input. Without virtio devices on
 * PCI there is no bus: a kernel that does not look for one spares some 225 exits.
 */
static const char *default_cmdline(struct run *run)
{
	const struct run_options *wanted = &run->options;
	const char *serial = run->serial.out_fd >= 0 ? "console=ttyS0 " : "";
	const char *hvc = run->hvc.out_fd >= 0 ? "console=hvc0 " : "";
	bool devices = wanted->rng || wanted->disks.count || wanted->nets.count ||
		       wanted->vsocks.count || *hvc;
	bool pci = devices && wanted->transport != STET_TRANSPORT_MMIO;

	snprintf(run->cmdline, sizeof(run->cmdline), "%s%s" RUN_CMDLINE "%s",
		 run->serial.tty ? hvc : serial, run->serial.tty ? serial : hvc,
		 pci ? "" : " pci=off");
	return run->cmdline;
}

static void fill_config(struct run *run, struct stet_config *config)
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
	config->vsock_path = run->devices.vsock.path;
	config->vsock_cid = run->devices.vsock.cid;
	config->console_in_fd = run->serial.tty ? run->console.read_fd : -1;
	config->console_out_fd = run->serial.out_fd;
	config->hvc_in_fd = run->hvc.tty ? run->console.read_fd : -1;
	config->hvc_out_fd = run->hvc.out_fd;
	if (run->hvc.tty)
		terminal_size(&config->hvc_columns, &config->hvc_rows);
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

static void pass_size(const struct run *run)
{
	uint16_t columns, rows;

	if (run->hvc.tty && terminal_size(&columns, &rows))
		(void)stet_vm_resize_console(run->vm, columns, rows);
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
		pass_size(run);
		return;
	case SIGWINCH:
		pass_size(run);
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
	pass_size(run); /* it may have changed while the VM was made */
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
		.serial = { .out_fd = -1, .file_fd = -1 },
		.hvc = { .out_fd = -1, .file_fd = -1 },
		.stats_fd = -1,
	};
	struct options_error error;
	uint64_t parsed_ns;
	int code;

	switch (run_options_parse(&run.options, arguments, &error)) {
	case OPTIONS_HELP_WANTED:
		run_options_print();
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
	if (devices_parse(&run.devices, &run.options, &error)) {
		devices_free(&run.devices);
		return usage_error("run", error.why);
	}
	parsed_ns = now_ns();
	code = open_consoles(&run);
	if (!code)
		code = open_stats(&run);
	if (!code)
		code = run_vm(&run, start_ns, parsed_ns);
	devices_free(&run.devices);
	if (run.serial.file_fd >= 0)
		close(run.serial.file_fd);
	if (run.hvc.file_fd >= 0)
		close(run.hvc.file_fd);
	if (run.stats_fd > STDERR_FILENO)
		close(run.stats_fd);
	return code;
}
