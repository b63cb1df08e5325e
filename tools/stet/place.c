/* SPDX-License-Identifier: Apache-2.0 */
/* place: where one of the guest's consoles, or a file of results, goes. */
#include "tools/stet/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/stet/message.h"
#include "tools/stet/options.h"
#include "tools/stet/verbs.h"

int place_open_output(const char *path, const char *what, int *fd)
{
	*fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
	if (*fd >= 0)
		return 0;
	message("cannot write %s '%s': %s", what, path, strerror(errno));
	return EXIT_STET;
}

int place_open(struct place *place, const char *option, const char *value)
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
	if (place_open_output(value + 5, "console file", &place->file_fd))
		return EXIT_STET;
	place->out_fd = place->file_fd;
	return 0;
}

void place_close(struct place *place)
{
	if (place->file_fd >= 0)
		close(place->file_fd);
	place->file_fd = -1;
}
