/* SPDX-License-Identifier: Apache-2.0 */
/* settings: what init is told by the file that stet puts beside it. */
#include "tools/init/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Appends to a list that has room for max words. */
static int append(const char **words, size_t max, const char *value)
{
	size_t count = 0;

	while (words[count])
		count++;
	if (count == max)
		return -E2BIG;
	words[count] = value;
	return 0;
}

static int set(struct settings *settings, const char *key, const char *value)
{
	if (strcmp(key, "arg") == 0)
		return append(settings->arguments, SETTINGS_WORDS_MAX, value);
	if (strcmp(key, "env") == 0)
		return append(settings->environment, SETTINGS_WORDS_MAX, value);
	if (strcmp(key, "module") == 0)
		return append(settings->modules, SETTINGS_MODULES_MAX, value);
	if (strcmp(key, "hostname") == 0)
		settings->hostname = value;
	else if (strcmp(key, "workdir") == 0)
		settings->workdir = value;
	else if (strcmp(key, "workdir-wanted") == 0)
		settings->workdir_wanted = true;
	else if (strcmp(key, "terminal") == 0)
		settings->terminal = true;
	else if (strcmp(key, "stderr-apart") == 0)
		settings->stderr_apart = true;
	else if (strcmp(key, "columns") == 0)
		settings->columns = (uint16_t)atoi(value);
	else if (strcmp(key, "rows") == 0)
		settings->rows = (uint16_t)atoi(value);
	else
		return -EINVAL;
	return 0;
}

int settings_parse(struct settings *settings, char *text, size_t bytes)
{
	char *end = text + bytes;

	memset(settings, 0, sizeof(*settings));
	settings->hostname = "stet";
	settings->workdir = "/";
	if (!bytes || end[-1])
		return -EINVAL;
	while (text < end) {
		char *next = text + strlen(text) + 1;
		char *value = strchr(text, '=');
		int ret;

		if (!value)
			return -EINVAL;
		*value++ = '\0';
		ret = set(settings, text, value);
		if (ret)
			return ret;
		text = next;
	}
	return settings->arguments[0] ? 0 : -EINVAL;
}
