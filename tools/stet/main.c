/* SPDX-License-Identifier: Apache-2.0 */
/* main: picks the verb. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/stet/message.h"
#include "tools/stet/options.h"
#include "tools/stet/verbs.h"
#include "vmm/stet.h"

static const struct verb {
	const char *name;
	int (*run)(char **arguments, uint64_t start_ns);
	const char *help;
} verbs[] = {
	{ "run", verb_run, "boot a kernel in a virtual machine" },
	{ "info", verb_info, "what this host can do for guests without stage-2 faults" },
	{ "why", verb_why, "what takes memory of a running virtual machine away" },
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(void)
{
	printf("Usage: stet VERB [OPTION]...\n"
	       "       stet --help | --version\n"
	       "Runs Linux in KVM virtual machines that take no stage-2 page faults.\n"
	       "\n"
	       "Verbs (stet VERB --help says more):\n");
	for (size_t i = 0; i < VERB_COUNT; i++)
		printf("  %-8s  %s\n", verbs[i].name, verbs[i].help);
	printf("\n"
	       "First steps: stet info; stet run --kernel vmlinuz --initrd initrd.img --stats\n"
	       "The manual: man stet\n");
}

int usage_error(const char *verb, const char *why)
{
	size_t bytes = strlen(why);

	if (bytes > 0 && why[bytes - 1] == '?') /* did you mean ...? */
		message("%s", why);
	else
		message("%s; see 'stet %s --help'", why, verb);
	return EXIT_USAGE;
}

static int unknown_verb(const char *word)
{
	const char *names[VERB_COUNT];
	const char *nearest;

	for (size_t i = 0; i < VERB_COUNT; i++)
		names[i] = verbs[i].name;
	nearest = options_nearest(word, names, VERB_COUNT);
	if (nearest)
		message("unknown verb '%.80s'; did you mean '%s'?", word, nearest);
	else
		message("unknown %s '%.80s'; see 'stet --help'", *word == '-' ? "option" : "verb",
			word);
	return EXIT_USAGE;
}

/* A descriptor opened later must not become standard input, output or error by chance. */
static int open_standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

/* printf()'s output is complete, or that is an error: `stet --help >/dev/full`. */
static int flush_output(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	message("cannot write: %s", strerror(errno));
	return EXIT_STET;
}

int main(int argc, char **argv)
{
	struct timespec now;
	uint64_t start_ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	start_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
	if (open_standard_files())
		return EXIT_STET;
	if (argc < 2) {
		message("no verb; see 'stet --help'");
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help();
		return flush_output(0);
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("stet %s\n", stet_version());
		return flush_output(0);
	}
	for (size_t i = 0; i < VERB_COUNT; i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return flush_output(verbs[i].run(argv + 2, start_ns));
	return unknown_verb(argv[1]);
}
