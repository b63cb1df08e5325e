/* SPDX-License-Identifier: Apache-2.0 */
/* run: `stet run` makes a VM of its options, stays with it to its end and says how it ended. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tools/stet/console.h"
#include "tools/stet/devices.h"
#include "tools/stet/message.h"
#include "tools/stet/place.h"
#include "tools/stet/root.h"
#include "tools/stet/run_options.h"
#include "tools/stet/session.h"
#include "tools/stet/signals.h"
#include "tools/stet/tail.h"
#include "tools/stet/terminal.h"
#include "tools/stet/verbs.h"
#include "vmm/stet.h"

/* While the terminal belongs to another job, how often to see whether it is ours again. */
#define BACKGROUND_POLL_MS 300

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
	char *cmdline;
	bool rooted; /* a command on a tree: the rest is for that alone */
	struct root root;
	struct session session;
	struct tail tail;          /* of the kernel's console */
	bool size_passed;          /* to the command's terminal, once it was there */
	int signals_passed[_NSIG]; /* how often each */
	int stats_fd;
	bool asked;     /* the power button was pressed */
	int end_signal; /* this signal ended the run */
	bool quit;      /* Ctrl-a x did */
};

/* With --root standard input and output are the command's; what the kernel says is kept. */
static int open_root_consoles(struct run *run)
{
	const char *hvc = run->options.hvc ? run->options.hvc : "none";
	const char *serial = run->options.console;
	int code;

	if (strcmp(hvc, "tty") == 0 || (serial && strcmp(serial, "tty") == 0))
		return usage_error("run", "--root: the terminal is the command's, not a console's");
	code = place_open(&run->hvc, "--hvc", hvc);
	if (!code && serial)
		code = place_open(&run->serial, "--console", serial);
	if (!code && !serial) {
		if (tail_open(&run->tail)) {
			message("cannot make a pipe: %s", strerror(errno));
			return EXIT_STET;
		}
		run->serial.out_fd = run->tail.write_fd;
	}
	run->console_in = true;
	run->terminal = run->root.terminal;
	return code;
}

static int open_consoles(struct run *run)
{
	const char *hvc = run->options.hvc ? run->options.hvc : "none";
	const char *serial = run->options.console;
	int code;

	if (run->rooted)
		return open_root_consoles(run);
	if (!serial)
		serial = strcmp(hvc, "tty") == 0 ? "none" : "tty";
	if (strcmp(serial, hvc) == 0 && strcmp(hvc, "none") != 0)
		return usage_error("run", "--console and --hvc cannot both go to the same place");
	code = place_open(&run->serial, "--console", serial);
	if (!code)
		code = place_open(&run->hvc, "--hvc", hvc);
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
		return place_open_output(path, "statistics file", &run->stats_fd);
	run->stats_fd = run->options.json && !run->console_in ? STDOUT_FILENO : STDERR_FILENO;
	return 0;
}

/*
 * The console named last is the guest's /dev/console: the one with input. Without virtio devices on
 * PCI there is no bus: a kernel that does not look for one spares some 225 exits. Nearly as many
 * are those with which a kernel looks for what it must do about old chipsets ("early"). A kernel
 * that is told of no console may take a serial port for granted and write all its log to where
 * there is none.
 */
static void make_cmdline(struct run *run)
{
	const struct run_options *wanted = &run->options;
	bool has_serial = run->serial.out_fd >= 0;
	const char *serial = has_serial ? "console=ttyS0 " : "";
	const char *hvc = run->hvc.out_fd >= 0 ? "console=hvc0 " : "";
	const char *init = run->rooted ? " " ROOT_CMDLINE : "";
	bool devices = wanted->rng || wanted->disks.count || wanted->nets.count ||
		       wanted->vsocks.count || *hvc || run->rooted;
	bool pci = devices && wanted->transport != STET_TRANSPORT_MMIO;
	int bytes;

	if (wanted->cmdline)
		bytes = asprintf(&run->cmdline, "%s%s", wanted->cmdline, init);
	else
		bytes = asprintf(&run->cmdline, "%s%s" RUN_CMDLINE "%s%s%s",
				 run->serial.tty ? hvc : serial, run->serial.tty ? serial : hvc,
				 pci ? " pci=noearly" : " pci=off",
				 has_serial ? "" : " 8250.nr_uarts=0", init);
	if (bytes < 0)
		run->cmdline = NULL;
}

static void fill_config(struct run *run, struct stet_config *config)
{
	const struct run_options *wanted = &run->options;
	int level = wanted->quiet ? (int)STET_LOG_ERROR : wanted->log_level + wanted->verbose;

	stet_config_init(config);
	make_cmdline(run);
	config->kernel_path = run->rooted ? run->root.kernel : wanted->kernel;
	config->initrd_path = wanted->initrd;
	config->cmdline = run->cmdline;
	config->vcpu_count = wanted->cpus;
	if (wanted->memory_bytes != RUN_MEMORY_DEFAULT)
		config->memory_bytes = wanted->memory_bytes;
	else if (run->rooted)
		config->memory_bytes = 0; /* what it takes */
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
	if (run->rooted) {
		config->root_dir = wanted->root;
		config->root_files = run->root.files;
		config->root_file_count = run->root.file_count;
		config->vsock_path = run->session.vsock_path;
		if (!run->devices.vsock.path)
			config->vsock_cid = STET_VSOCK_CID_MIN;
	}
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

static void pass_size(struct run *run)
{
	uint16_t columns, rows;

	if (run->rooted && run->root.terminal && terminal_size(&columns, &rows))
		session_size(&run->session, columns, rows);
	if (run->hvc.tty && terminal_size(&columns, &rows))
		(void)stet_vm_resize_console(run->vm, columns, rows);
}

/* The command gets it, but one who insists ends the VM; so does any while there is no command. */
static void pass_signal(struct run *run, int number)
{
	int most = number == SIGINT || number == SIGQUIT ? 2 : 1;

	if (run->signals_passed[number]++ >= most || !session_signal(&run->session, number))
		run->end_signal = number;
}

static void on_signal(struct run *run, int number)
{
	bool passed =
		number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGQUIT;

	if (run->rooted && passed) {
		pass_signal(run, number);
		return;
	}
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
	POLL_TAIL,  /* the kernel's console */
	POLL_SESSION,
	POLL_COUNT = POLL_SESSION + SESSION_POLLS,
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

/* Is standard input, the terminal with it, the guest's now? With a command only while that runs:
 * before and after Ctrl-C is for stet. */
static bool wants_input(const struct run *run)
{
	return run->console_in && !run->console.ended &&
	       (!run->rooted || (run->session.started && !run->session.over));
}

static void turn_session(struct run *run, const struct pollfd polls[POLL_COUNT])
{
	struct console *console = &run->console;

	if (polls[POLL_TAIL].revents)
		tail_read(&run->tail);
	session_turn(&run->session, console->read_fd, polls + POLL_SESSION);
	if (run->session.started && !run->size_passed) {
		run->size_passed = true;
		pass_size(run);
	}
	if (run->session.over)
		terminal_give_back();
	/* The end of input comes behind the last of it. */
	if (console->ended && !console_waits(console) && console->write_fd >= 0) {
		close(console->write_fd);
		console->write_fd = -1;
	}
}

/* One wait and what came of it. */
static void turn(struct run *run)
{
	struct pollfd polls[POLL_COUNT] = {
		[POLL_END] = { .fd = stet_vm_event_fd(run->vm), .events = POLLIN },
		[POLL_SIGNAL] = { .fd = run->signals.fd, .events = POLLIN },
		[POLL_INPUT] = { .fd = -1, .events = POLLIN },
		[POLL_PIPE] = { .fd = -1, .events = POLLOUT },
		[POLL_TAIL] = { .fd = run->tail.read_fd, .events = POLLIN },
	};
	bool wanted = wants_input(run);
	bool ours = !run->terminal || !wanted || terminal_taken() || terminal_take();

	session_polls(&run->session, run->console.read_fd, polls + POLL_SESSION);
	if (run->console_in && console_waits(&run->console))
		polls[POLL_PIPE].fd = run->console.write_fd;
	else if (wanted && ours)
		polls[POLL_INPUT].fd = STDIN_FILENO;
	if (poll(polls, POLL_COUNT, ours ? -1 : BACKGROUND_POLL_MS) < 0)
		return; /* EINTR: all signals are blocked, but a debugger may */
	if (polls[POLL_SIGNAL].revents)
		on_signal(run, signals_next(&run->signals));
	if (polls[POLL_PIPE].revents)
		console_flush(&run->console);
	if (polls[POLL_INPUT].revents)
		on_input(run, polls[POLL_INPUT].revents);
	if (run->rooted)
		turn_session(run, polls);
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

/* The same with a command: its exit code, unless the machine failed under it. */
static int say_command_end(struct run *run)
{
	enum stet_end end = stet_vm_end(run->vm);

	if (run->end_signal)
		return EXIT_SIGNAL + run->end_signal;
	if (run->quit)
		return EXIT_SIGNAL + SIGKILL;
	if (end == STET_END_CRASH || end == STET_END_PANIC || end == STET_END_ERROR) {
		tail_show(&run->tail);
		return say_end(run);
	}
	if (run->session.exited)
		return run->session.output_failed ? EXIT_STET : (int)run->session.code;
	message("no exit code of the command: %s",
		*run->session.why ? run->session.why : "the guest ended before it did");
	tail_show(&run->tail);
	return end == STET_END_RESET ? EXIT_RESET : EXIT_STET;
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
	session_drain(&run->session);
	terminal_close();
	code = run->rooted ? say_command_end(run) : say_end(run);
	if (run->stats_fd >= 0 &&
	    write_stats(run, run->stats_fd,
			run->options.json ? STET_FORMAT_JSON : STET_FORMAT_TABLE))
		code = EXIT_STET;
	return code;
}

/* A vsock may have more connections than the 1024 descriptors that processes begin with, for the
 * sake of select(), which nothing here uses. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Signals, terminal and pipe around the VM's life. */
static int run_vm(struct run *run, uint64_t start_ns, uint64_t parsed_ns)
{
	int result = 0;
	int code;

	raise_descriptor_limit();
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

/* A command's: the kernel, what goes beside the tree, and the socket. */
static int open_root(struct run *run)
{
	int code;

	if (!run->options.root)
		return 0;
	run->rooted = true;
	code = root_prepare(&run->root, &run->options);
	if (code)
		return code;
	if (!session_listen(&run->session, run->devices.vsock.path))
		return 0;
	message("%s", run->session.why);
	return EXIT_STET;
}

static void close_run(struct run *run)
{
	devices_free(&run->devices);
	session_close(&run->session);
	tail_close(&run->tail);
	root_free(&run->root);
	free(run->cmdline);
	place_close(&run->serial);
	place_close(&run->hvc);
	if (run->stats_fd > STDERR_FILENO)
		close(run->stats_fd);
}

int verb_run(char **arguments, uint64_t start_ns)
{
	struct run run = {
		.serial = { .out_fd = -1, .file_fd = -1 },
		.hvc = { .out_fd = -1, .file_fd = -1 },
		.tail = { .read_fd = -1, .write_fd = -1 },
		.stats_fd = -1,
	};
	struct options_error error;
	uint64_t parsed_ns;
	const char *why;
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
	why = run_options_check(&run.options);
	if (why)
		return usage_error("run", why);
	session_init(&run.session);
	if (devices_parse(&run.devices, &run.options, &error)) {
		close_run(&run);
		return usage_error("run", error.why);
	}
	parsed_ns = now_ns();
	code = open_root(&run);
	if (!code)
		code = open_consoles(&run);
	if (!code)
		code = open_stats(&run);
	if (!code)
		code = run_vm(&run, start_ns, parsed_ns);
	close_run(&run);
	return code;
}
