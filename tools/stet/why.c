/* SPDX-License-Identifier: Apache-2.0 */
/* why: `stet why` prints live what changes the stage 2 of a running VM, how often, by whom, and the
 * remedy. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/stet/message.h"
#include "tools/stet/options.h"
#include "tools/stet/verbs.h"
#include "vmm/stet.h"

#define ARGUMENTS_BYTES 16384

struct why_options {
	uint32_t interval_s;
	uint32_t count; /* 0: until the VM ends */
	bool json;
};

static const struct option options[] = {
	{ 'n', "interval", "SECONDS", OPTION_NUMBER, offsetof(struct why_options, interval_s), NULL,
	  "how often to look (default 1)" },
	{ 'c', "count", "N", OPTION_NUMBER, offsetof(struct why_options, count), NULL,
	  "end after N reports (default: when the VM ends)" },
	{ 0, "json", NULL, OPTION_FLAG, offsetof(struct why_options, json), NULL,
	  "a JSON object for each report" },
	{ 'h', "help", NULL, OPTION_HELP, 0, NULL, "print this and exit" },
	{ 0, NULL, NULL, OPTION_HELP, 0, NULL, NULL },
};

static void print_help(void)
{
	printf("Usage: stet why PID|NAME [OPTION]...\n"
	       "Prints what takes pages of a running VM out of KVM's tables: how often, who, by what\n"
	       "event, and what keeps it from happening again. NAME is what stet run --name gave. The\n"
	       "first report is about the time since the VM began.\n"
	       "\n"
	       "Options:\n");
	options_print(options);
	printf("\n"
	       "Causes are visible on a host whose KVM has stet's patches (stet info tells).\n"
	       "\n"
	       "Exit code: 0 the VM ended, or N reports were printed; 1 error, 2 wrong usage.\n");
}

/* True where the process was started with --name NAME; its arguments are ended by zeroes. */
static bool has_name(const char *pid, const char *name)
{
	static char text[ARGUMENTS_BYTES];
	char path[300], wanted[300];
	ssize_t bytes;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	snprintf(wanted, sizeof(wanted), "--name=%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bytes = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (bytes <= 0)
		return false;
	text[bytes] = 0;
	for (const char *at = text; at < text + bytes; at += strlen(at) + 1) {
		const char *next = at + strlen(at) + 1;

		if (!strcmp(at, wanted) ||
		    (!strcmp(at, "--name") && next < text + bytes && !strcmp(next, name)))
			return true;
	}
	return false;
}

/* The process of that name, 0 where there is none, -1 where there are several. */
static int find_name(const char *name)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	while (processes && (entry = readdir(processes))) {
		int pid = atoi(entry->d_name);

		if (pid <= 0 || pid == getpid() || !has_name(entry->d_name, name))
			continue;
		if (found)
			return -1;
		found = pid;
	}
	if (processes)
		closedir(processes);
	return found;
}

static int open_target(const char *target, struct stet_watch **watch)
{
	struct stet_error error = { .code = 0 };
	char *end;
	long pid = strtol(target, &end, 10);

	if (*end || pid <= 0 || pid > INT32_MAX) {
		pid = find_name(target);
		if (pid == 0) {
			message("there is no VM named '%.80s'; start it with stet run --name",
				target);
			return EXIT_STET;
		}
		if (pid < 0) {
			message("several processes are named '%.80s': give the process number",
				target);
			return EXIT_STET;
		}
	}
	if (!stet_watch_open((int)pid, watch, &error))
		return 0;
	message("%s", error.text);
	return EXIT_STET;
}

/* 0: go on; 1: the VM has ended; 2: an error, which was said. */
static int report(struct stet_watch *watch, const struct why_options *wanted)
{
	struct stet_error error = { .code = 0 };
	char *text;
	int result = stet_watch_report(watch, wanted->json ? STET_FORMAT_JSON : STET_FORMAT_TABLE,
				       &text, &error);

	if (result == -ESRCH)
		return 1;
	if (result) {
		message("%s", error.text);
		return 2;
	}
	result = message_write(STDOUT_FILENO, text);
	stet_text_free(text);
	if (!result)
		return 0;
	message("cannot write: %s", strerror(-result));
	return 2;
}

static int watch_it(struct stet_watch *watch, const struct why_options *wanted)
{
	const struct timespec interval = { .tv_sec = (time_t)wanted->interval_s };

	for (uint32_t i = 0; !wanted->count || i < wanted->count; i++) {
		int result;

		if (i)
			nanosleep(&interval, NULL);
		result = report(watch, wanted);
		if (result)
			return result == 1 ? 0 : EXIT_STET;
	}
	return 0;
}

int verb_why(char **arguments, uint64_t start_ns)
{
	struct why_options wanted = { .interval_s = 1 };
	struct options_error error;
	struct stet_watch *watch;
	const char *target = arguments[0] && arguments[0][0] != '-' ? arguments[0] : NULL;
	int code;

	(void)start_ns;
	switch (options_parse(options, arguments + (target ? 1 : 0), &wanted, &error)) {
	case OPTIONS_HELP_WANTED:
		print_help();
		return 0;
	case OPTIONS_WRONG:
		return usage_error("why", error.why);
	case OPTIONS_OK:
		break;
	}
	if (!target)
		return usage_error("why", "which VM? say PID or NAME first");
	if (!wanted.interval_s)
		return usage_error("why", "--interval: at least 1 second");
	code = open_target(target, &watch);
	if (code)
		return code;
	code = watch_it(watch, &wanted);
	stet_watch_close(watch);
	return code;
}
