/* SPDX-License-Identifier: Apache-2.0 */
/* options: command-line options as a table, which parses them and prints their help. */
#ifndef TOOLS_STET_OPTIONS_H
#define TOOLS_STET_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

/* What an option's value is and the type of the field that takes it. */
enum option_kind {
	OPTION_HELP,          /* no field: parsing ends */
	OPTION_FLAG,          /* bool */
	OPTION_REPEAT,        /* int: how often it was given */
	OPTION_TEXT,          /* const char *, points into argv */
	OPTION_OPTIONAL_TEXT, /* const char *, "" where no =VALUE follows */
	OPTION_NUMBER,        /* uint32_t */
	OPTION_SIZE,          /* uint64_t, bytes */
	OPTION_CHOICE,        /* int, one of choices */
	OPTION_LIST,          /* struct option_list: given again and again */
	OPTION_REST,          /* char *const *: what follows "--"; name is "" */
};

#define OPTION_LIST_MAX 24

struct option_list {
	const char *values[OPTION_LIST_MAX]; /* point into argv */
	uint32_t count;
};

struct option_choice {
	const char *name; /* NULL ends the table */
	int value;
};

struct option {
	char short_name;  /* 0: none */
	const char *name; /* without the dashes; NULL ends the table */
	const char *argument;
	enum option_kind kind;
	size_t offset; /* of the field in the target */
	const struct option_choice *choices;
	const char *help; /* lines, without the indentation */
};

#define OPTIONS_WHY_BYTES 320

/* In *why: one line without a newline, for example "unknown option '--memroy'; did you mean
 * '--memory'?" */
struct options_error {
	char why[OPTIONS_WHY_BYTES];
};

enum options_result {
	OPTIONS_OK,
	OPTIONS_HELP_WANTED,
	OPTIONS_WRONG,
};

/*
 * Reads arguments (ended by NULL) into the fields of target, which holds the defaults. Options may
 * be written --name VALUE, --name=VALUE, -n VALUE, -nVALUE, and flags together as -vq. The last of
 * an option counts, but of a list all. Arguments that are not options are wrong, except behind "--"
 * where the table has an OPTION_REST. error is filled on OPTIONS_WRONG.
 */
enum options_result options_parse(const struct option *options, char *const *arguments,
				  void *target, struct options_error *error);

/* The option lines of --help, to standard output. */
void options_print(const struct option *options);

/*
 * A whole number with an optional K, M, G or T (powers of 1024; KiB and so on too); without one it
 * counts MiB, as with most programs that run virtual machines. 0, or -EINVAL (not a size) or
 * -ERANGE (over 64 bits).
 */
int options_size(const char *text, uint64_t *bytes);

/* The name nearest to word among count names, or NULL where none is near. */
const char *options_nearest(const char *word, const char *const *names, size_t count);

#endif
