/* SPDX-License-Identifier: Apache-2.0 */
/* options: command-line options as a table, which parses them and prints their help. */
#include "tools/stet/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX   32
#define OPTIONS_MAX      64
#define HELP_COLUMN      28
#define SIZE_DEFAULT_LOG 20 /* MiB */

/* One option as it stands on the command line. */
struct given {
	const struct option *option;
	const char *value; /* NULL: none */
	char spelling[NAME_BYTES_MAX + 3];
};

static enum options_result wrong(struct options_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static enum options_result wrong(struct options_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(error->why, sizeof(error->why), format, arguments);
	va_end(arguments);
	return OPTIONS_WRONG;
}

/* Levenshtein's distance; one row is enough, *diagonal* keeps what it overwrites. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_BYTES_MAX + 1];
	size_t b_bytes = strlen(b);

	for (size_t j = 0; j <= b_bytes; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_bytes; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (best > row[j] + 1)
				best = row[j] + 1;
			if (best > row[j - 1] + 1)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_bytes];
}

const char *options_nearest(const char *word, const char *const *names, size_t count)
{
	const char *nearest = NULL;
	size_t bytes = strlen(word);
	size_t best = bytes < 3 ? 2 : 3; /* must be below: 1 or 2 slips */

	if (bytes > NAME_BYTES_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t slips;

		if (strlen(names[i]) > NAME_BYTES_MAX)
			continue;
		/* What was cut short is as near as can be. */
		slips = bytes > 1 && strncmp(word, names[i], bytes) == 0 ? 0
									 : distance(word, names[i]);
		if (slips < best) {
			best = slips;
			nearest = names[i];
		}
	}
	return nearest;
}

static const char *nearest_option(const struct option *options, const char *name)
{
	const char *names[OPTIONS_MAX];
	size_t count = 0;

	for (; options->name && count < OPTIONS_MAX; options++)
		if (options->kind != OPTION_REST)
			names[count++] = options->name;
	return options_nearest(name, names, count);
}

static int digits_u64(const char *text, const char **end, uint64_t *value)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &stop, 10);
	*end = stop;
	return errno == ERANGE ? -ERANGE : 0;
}

int options_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	unsigned int shift = SIZE_DEFAULT_LOG;
	const char *unit;
	const char *end;
	uint64_t value;
	int result = digits_u64(text, &end, &value);

	if (result)
		return result;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || (end[1] && strcmp(end + 1, "iB") != 0))
			return -EINVAL;
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = value << shift;
	return 0;
}

static enum options_result set_number(const struct given *given, uint32_t *field,
				      struct options_error *error)
{
	uint64_t value = 0;
	const char *end = "";
	int result = digits_u64(given->value, &end, &value);

	if (result == -ERANGE || (!result && !*end && value > UINT32_MAX))
		return wrong(error, "%s: %s is too large", given->spelling, given->value);
	if (result || *end)
		return wrong(error, "%s: '%s' is not a number", given->spelling, given->value);
	*field = (uint32_t)value;
	return OPTIONS_OK;
}

static enum options_result set_size(const struct given *given, uint64_t *field,
				    struct options_error *error)
{
	int result = options_size(given->value, field);

	if (result == -ERANGE)
		return wrong(error, "%s: %s is too large", given->spelling, given->value);
	if (result)
		return wrong(error, "%s: '%s' is not a size; say for example 512M or 2G",
			     given->spelling, given->value);
	return OPTIONS_OK;
}

static enum options_result add_to_list(const struct given *given, struct option_list *list,
				       struct options_error *error)
{
	if (list->count == OPTION_LIST_MAX)
		return wrong(error, "%s: given more than %d times", given->spelling,
			     OPTION_LIST_MAX);
	list->values[list->count++] = given->value;
	return OPTIONS_OK;
}

static enum options_result set_choice(const struct given *given, int *field,
				      struct options_error *error)
{
	const struct option_choice *choice = given->option->choices;
	int used;

	for (; choice->name; choice++) {
		if (strcmp(choice->name, given->value) == 0) {
			*field = choice->value;
			return OPTIONS_OK;
		}
	}
	used = snprintf(error->why, sizeof(error->why),
			"%s: unknown value '%.80s'; known:", given->spelling, given->value);
	for (choice = given->option->choices; choice->name; choice++) {
		size_t left = sizeof(error->why) - (size_t)used;
		int n = snprintf(error->why + used, left, " %s", choice->name);

		if (n < 0 || (size_t)n >= left)
			break;
		used += n;
	}
	return OPTIONS_WRONG;
}

static enum options_result set_field(const struct given *given, void *target,
				     struct options_error *error)
{
	void *field = (char *)target + given->option->offset;

	switch (given->option->kind) {
	case OPTION_HELP:
		return OPTIONS_HELP_WANTED;
	case OPTION_FLAG:
		*(bool *)field = true;
		return OPTIONS_OK;
	case OPTION_REPEAT:
		++*(int *)field;
		return OPTIONS_OK;
	case OPTION_TEXT:
		*(const char **)field = given->value;
		return OPTIONS_OK;
	case OPTION_OPTIONAL_TEXT:
		*(const char **)field = given->value ? given->value : "";
		return OPTIONS_OK;
	case OPTION_NUMBER:
		return set_number(given, field, error);
	case OPTION_SIZE:
		return set_size(given, field, error);
	case OPTION_CHOICE:
		return set_choice(given, field, error);
	case OPTION_LIST:
		return add_to_list(given, field, error);
	case OPTION_REST:
		break; /* options_parse() */
	}
	return wrong(error, "%s: not handled", given->spelling);
}

static bool takes_value(const struct option *option)
{
	return option->kind >= OPTION_TEXT && option->kind != OPTION_OPTIONAL_TEXT;
}

/* Takes the value from *next where the option wants one and none came with it. */
static enum options_result finish(struct given *given, char *const **next, void *target,
				  struct options_error *error)
{
	if (takes_value(given->option) && !given->value) {
		if (!**next)
			return wrong(error, "%s needs a value: %s %s", given->spelling,
				     given->spelling, given->option->argument);
		given->value = *(*next)++;
	}
	return set_field(given, target, error);
}

static enum options_result parse_long(const struct option *options, const char *word,
				      char *const **next, void *target, struct options_error *error)
{
	size_t bytes = strcspn(word, "=");
	struct given given = { .value = word[bytes] ? word + bytes + 1 : NULL };
	char name[NAME_BYTES_MAX + 1];
	const char *nearest;

	snprintf(name, sizeof(name), "%.*s", (int)bytes, word);
	snprintf(given.spelling, sizeof(given.spelling), "--%s", name);
	for (given.option = options; given.option->name; given.option++)
		if (strlen(given.option->name) == bytes &&
		    memcmp(given.option->name, word, bytes) == 0)
			break;
	if (!given.option->name) {
		nearest = bytes <= NAME_BYTES_MAX ? nearest_option(options, name) : NULL;
		if (nearest)
			return wrong(error, "unknown option '%s'; did you mean '--%s'?",
				     given.spelling, nearest);
		return wrong(error, "unknown option '%s'", given.spelling);
	}
	if (given.value && given.option->kind < OPTION_TEXT)
		return wrong(error, "%s takes no value", given.spelling);
	return finish(&given, next, target, error);
}

static enum options_result parse_short(const struct option *options, const char *letters,
				       char *const **next, void *target,
				       struct options_error *error)
{
	for (; *letters; letters++) {
		struct given given = { .option = options };
		enum options_result result;

		while (given.option->name && given.option->short_name != *letters)
			given.option++;
		snprintf(given.spelling, sizeof(given.spelling), "-%c", *letters);
		if (!given.option->name)
			return wrong(error, "unknown option '%s'", given.spelling);
		if (takes_value(given.option)) {
			given.value = letters[1] ? letters + 1 : NULL;
			return finish(&given, next, target, error);
		}
		result = set_field(&given, target, error);
		if (result != OPTIONS_OK)
			return result;
	}
	return OPTIONS_OK;
}

/* What follows "--", where the table takes it. */
static bool take_rest(const struct option *options, char *const *arguments, void *target)
{
	for (; options->name; options++) {
		if (options->kind != OPTION_REST)
			continue;
		*(char *const **)((char *)target + options->offset) = arguments;
		return true;
	}
	return false;
}

enum options_result options_parse(const struct option *options, char *const *arguments,
				  void *target, struct options_error *error)
{
	while (*arguments) {
		const char *word = *arguments++;
		enum options_result result;

		if (strcmp(word, "--") == 0 && take_rest(options, arguments, target))
			return OPTIONS_OK;
		if (word[0] == '-' && word[1] == '-' && word[2])
			result = parse_long(options, word + 2, &arguments, target, error);
		else if (word[0] == '-' && word[1] && word[1] != '-')
			result = parse_short(options, word + 1, &arguments, target, error);
		else
			result = wrong(error, "unexpected argument '%.200s'", word);
		if (result != OPTIONS_OK)
			return result;
	}
	return OPTIONS_OK;
}

static void print_help_lines(const char *help)
{
	const char *indent = "";

	while (*help) {
		int bytes = (int)strcspn(help, "\n");

		printf("%s%.*s\n", indent, bytes, help);
		help += bytes;
		if (*help == '\n')
			help++;
		indent = "                              "; /* HELP_COLUMN + 2 */
	}
}

void options_print(const struct option *options)
{
	for (; options->name; options++) {
		char head[96];
		bool optional = options->kind == OPTION_OPTIONAL_TEXT;
		const char *argument = options->argument ? options->argument : "";
		int used;

		if (options->kind == OPTION_REST)
			continue; /* stands in the usage line */
		used = options->short_name
			       ? snprintf(head, sizeof(head), "-%c, --%s", options->short_name,
					  options->name)
			       : snprintf(head, sizeof(head), "    --%s", options->name);

		snprintf(head + used, sizeof(head) - (size_t)used, "%s%s%s",
			 optional    ? "[="
			 : *argument ? " "
				     : "",
			 argument, optional ? "]" : "");
		if (strlen(head) < HELP_COLUMN)
			printf("  %-*s", HELP_COLUMN, head);
		else
			printf("  %s\n%*s", head, HELP_COLUMN + 2, "");
		print_help_lines(options->help);
	}
}
