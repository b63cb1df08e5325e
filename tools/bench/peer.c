/* SPDX-License-Identifier: Apache-2.0 */
/* peer: the host's end of the guest's network phases in tools/bench/io (see bench.h), until it is
 * killed. One thing at a time: so does the guest. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static char data[4 * BENCH_CHUNK];

static int open_port(int type, uint16_t port)
{
	const struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	const int on = 1;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (const struct sockaddr *)&any, sizeof(any)) ||
	    (type == SOCK_STREAM && listen(fd, 4)))
		perror("peer");
	return fd;
}

static void sink(int listener)
{
	int fd = accept(listener, NULL, NULL);

	while (read(fd, data, sizeof(data)) > 0)
		;
	close(fd);
}

static void source(int listener)
{
	int fd = accept(listener, NULL, NULL);
	uint64_t left = 0;
	ssize_t sent;

	if (read(fd, &left, sizeof(left)) != sizeof(left))
		left = 0;
	for (; left; left -= (uint64_t)sent) {
		sent = send(fd, data, left < BENCH_CHUNK ? left : BENCH_CHUNK, MSG_NOSIGNAL);
		if (sent <= 0)
			break;
	}
	shutdown(fd, SHUT_WR);
	while (read(fd, data, sizeof(data)) > 0)
		;
	close(fd);
}

static void echo(int fd)
{
	struct sockaddr_in from;
	socklen_t bytes = sizeof(from);
	ssize_t got = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &bytes);

	if (got >= 0 && sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&from, bytes) != got)
		perror("peer: echo");
}

int main(void)
{
	static void (*const serve[])(int) = { sink, source, echo };
	struct pollfd ports[] = {
		{ open_port(SOCK_STREAM, BENCH_SINK), POLLIN, 0 },
		{ open_port(SOCK_STREAM, BENCH_SOURCE), POLLIN, 0 },
		{ open_port(SOCK_DGRAM, BENCH_ECHO), POLLIN, 0 },
	};

	while (poll(ports, 3, -1) > 0)
		for (int i = 0; i < 3; i++)
			if (ports[i].revents)
				serve[i](ports[i].fd);
	return 1;
}
