/* SPDX-License-Identifier: Apache-2.0 */
/* tail: the last that a guest's kernel said, kept in case it has to be shown. */
#include "tools/stet/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tools/stet/message.h"

#define LINES_SHOWN 12

int tail_open(struct tail *tail)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	tail->read_fd = fds[0];
	tail->write_fd = fds[1];
	tail->bytes = 0;
	return 0;
}

void tail_close(struct tail *tail)
{
	if (tail->read_fd >= 0)
		close(tail->read_fd);
	if (tail->write_fd >= 0)
		close(tail->write_fd);
	tail->read_fd = tail->write_fd = -1;
}

static void keep(struct tail *tail, const char *data, size_t bytes)
{
	size_t over;

	if (bytes > TAIL_BYTES) {
		data += bytes - TAIL_BYTES;
		bytes = TAIL_BYTES;
	}
	over = tail->bytes + bytes > TAIL_BYTES ? tail->bytes + bytes - TAIL_BYTES : 0;
	memmove(tail->text, tail->text + over, tail->bytes - over);
	tail->bytes -= over;
	memcpy(tail->text + tail->bytes, data, bytes);
	tail->bytes += bytes;
}

void tail_read(struct tail *tail)
{
	char data[TAIL_BYTES];
	ssize_t n;

	/* A bound, so that a guest that never stops does not hold us here. */
	for (int i = 0; i < 16 && (n = read(tail->read_fd, data, sizeof(data))) > 0; i++)
		keep(tail, data, (size_t)n);
}

void tail_show(struct tail *tail)
{
	const char *at;
	int lines = 0;

	tail_read(tail);
	at = tail->text + tail->bytes;
	while (at > tail->text && lines <= LINES_SHOWN)
		lines += *--at == '\n';
	while (at < tail->text + tail->bytes) {
		char line[256];
		size_t used = 0;

		while (at < tail->text + tail->bytes && *at != '\n') {
			if (*at >= ' ' && *at < 127 && used < sizeof(line) - 1)
				line[used++] = *at;
			at++;
		}
		at++;
		line[used] = 0;
		if (used)
			message("guest: %s", line);
	}
}
