/* SPDX-License-Identifier: Apache-2.0 */
/* settings: what init is told by the file that stet puts beside it. */
#ifndef TOOLS_INIT_SETTINGS_H
#define TOOLS_INIT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All of init's in the guest; gone when the command starts. */
#define SETTINGS_DIRECTORY "/.stet"

#define SETTINGS_WORDS_MAX   4096
#define SETTINGS_MODULES_MAX 64

/*
 * The file is words, each terminated: "KEY=VALUE", with the keys of the table in settings.c. arg,
 * env and module may stand in it again and again, in this order.
 */
struct settings {
	const char *hostname;
	const char *workdir;
	bool workdir_wanted; /* else "/" does where it is not there */
	bool terminal;       /* a pseudo-terminal for the command */
	bool stderr_apart;   /* but not for its standard error */
	uint16_t columns, rows;
	const char *modules[SETTINGS_MODULES_MAX + 1]; /* files in SETTINGS_DIRECTORY */
	const char *arguments[SETTINGS_WORDS_MAX + 1];
	const char *environment[SETTINGS_WORDS_MAX + 1];
};

/* Strings of *settings point into text, which ends with a terminator. 0, -EINVAL or -E2BIG. */
int settings_parse(struct settings *settings, char *text, size_t bytes);

#endif
