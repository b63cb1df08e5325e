/* SPDX-License-Identifier: Apache-2.0 */
/* info: `stet info` says what this host can do and what it means for zero faults. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/stet/message.h"
#include "tools/stet/options.h"
#include "tools/stet/verbs.h"
#include "vmm/stet.h"

struct info_options {
	bool json;
};

static const struct option options[] = {
	{ 0, "json", NULL, OPTION_FLAG, offsetof(struct info_options, json), NULL,
	  "as JSON instead of a table" },
	{ 'h', "help", NULL, OPTION_HELP, 0, NULL, "print this and exit" },
	{ 0, NULL, NULL, OPTION_HELP, 0, NULL, NULL },
};

static void print_help(void)
{
	printf("Usage: stet info [OPTION]...\n"
	       "Says what this host can do for guests without stage-2 faults, what that means, and\n"
	       "how to change it.\n"
	       "\n"
	       "Options:\n");
	options_print(options);
	printf("\n"
	       "Exit code: 0 zero faults are possible, 3 they are not, 1 error, 2 wrong usage.\n");
}

int verb_info(char **arguments, uint64_t start_ns)
{
	struct info_options wanted = { .json = false };
	struct options_error why;
	struct stet_error error = { .code = 0 };
	int possible = 0;
	char *text;
	int result;

	(void)start_ns;
	switch (options_parse(options, arguments, &wanted, &why)) {
	case OPTIONS_HELP_WANTED:
		print_help();
		return 0;
	case OPTIONS_WRONG:
		return usage_error("info", why.why);
	case OPTIONS_OK:
		break;
	}
	if (stet_host_info(wanted.json ? STET_FORMAT_JSON : STET_FORMAT_TABLE, &text, &possible,
			   &error)) {
		message("%s", error.text);
		return EXIT_STET;
	}
	result = message_write(STDOUT_FILENO, text);
	stet_text_free(text);
	if (result) {
		message("cannot write: %s", strerror(-result));
		return EXIT_STET;
	}
	return possible ? 0 : EXIT_NOT_POSSIBLE;
}
