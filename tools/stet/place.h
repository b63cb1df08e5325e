/* SPDX-License-Identifier: Apache-2.0 */
/* place: where one of the guest's consoles, or a file of results, goes. */
#ifndef TOOLS_STET_PLACE_H
#define TOOLS_STET_PLACE_H

#include <stdbool.h>

/* The descriptors are -1 where there is none. */
struct place {
	bool tty;   /* standard input and output */
	int out_fd; /* for the library */
	int file_fd;
};

/* Files are opened before anything is made, so that no guest runs in vain. Both say what is wrong
 * and return the exit code of that, or 0. */
int place_open_output(const char *path, const char *what, int *fd);

/* value is "tty", "none" or "file:PATH". */
int place_open(struct place *place, const char *option, const char *value);

void place_close(struct place *place);

#endif
