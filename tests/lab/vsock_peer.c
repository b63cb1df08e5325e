/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_peer PATH: the host's programs that a hostile guest meets behind its vsock device. Accepts
 * who comes to PATH_1000, reads what they send and sends it back where there is room, hangs up on
 * some; and asks the guest for ports through PATH, again and again. Runs until it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX 256

static int unix_socket(const char *path, const char *suffix, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (snprintf(address->sun_path, sizeof(address->sun_path), "%s%s", path, suffix) >=
	    (int)sizeof(address->sun_path))
		return -1;
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* "CONNECT PORT" to the guest. -1 where it is not there (yet). */
static int ask(const char *path)
{
	static const char line[] = "CONNECT 3\nhello";
	struct sockaddr_un address;
	int fd = unix_socket(path, "", &address);

	if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
			write(fd, line, strlen(line)) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Enough of a die: the same throws each time. */
static uint32_t throw(uint32_t * state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 16;
}

/* False where it is over. */
static int serve(int fd, uint32_t *dice)
{
	char data[65536];
	ssize_t got = read(fd, data, sizeof(data));

	if (got < 0)
		return errno == EAGAIN;
	if (!got || throw(dice) % 16 == 0)
		return 0;
	return write(fd, data, (size_t)got) >= 0 || errno == EAGAIN;
}

/* Returns how many are left. */
static nfds_t serve_all(struct pollfd *polls, nfds_t count, uint32_t *dice)
{
	for (nfds_t i = count; i-- > 1;) {
		/* Some are never read: what the guest sends them has to wait. */
		if (!polls[i].revents || (polls[i].fd % 8 == 7 && throw(dice) % 64))
			continue;
		if (serve(polls[i].fd, dice))
			continue;
		close(polls[i].fd);
		polls[i] = polls[--count];
	}
	return count;
}

int main(int argc, char **argv)
{
	struct pollfd polls[CLIENTS_MAX] = { 0 };
	struct sockaddr_un address;
	nfds_t count = 1;
	uint32_t dice = 1;

	if (argc != 2)
		return 2;
	(void)signal(SIGPIPE, SIG_IGN);
	polls[0] = (struct pollfd){ unix_socket(argv[1], "_1000", &address), POLLIN, 0 };
	if (bind(polls[0].fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(polls[0].fd, 16)) {
		perror(address.sun_path);
		return 1;
	}
	for (;;) {
		int fd = count < CLIENTS_MAX / 2 ? ask(argv[1]) : -1;

		if (fd >= 0)
			polls[count++] = (struct pollfd){ fd, POLLIN, 0 };
		if (poll(polls, count, 100) < 0)
			return 1;
		if (polls[0].revents && count < CLIENTS_MAX) {
			fd = accept4(polls[0].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd >= 0)
				polls[count++] = (struct pollfd){ fd, POLLIN, 0 };
		}
		count = serve_all(polls, count, &dice);
	}
}
