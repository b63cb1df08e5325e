/* SPDX-License-Identifier: Apache-2.0 */
/* tail: the last that a guest's kernel said, kept in case it has to be shown. */
#ifndef TOOLS_STET_TAIL_H
#define TOOLS_STET_TAIL_H

#include <stddef.h>

#define TAIL_BYTES 4096

/* write_fd is for the library; read_fd is polled. -1 where there is none. */
struct tail {
	int read_fd, write_fd;
	size_t bytes;
	char text[TAIL_BYTES];
};

int tail_open(struct tail *tail);
void tail_close(struct tail *tail);

/* Takes what is there. */
void tail_read(struct tail *tail);

/* Its last lines to standard error; the guest's control characters are not. */
void tail_show(struct tail *tail);

#endif
