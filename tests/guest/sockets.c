/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockets: what a guest does with virtio sockets and the virtio console for the lab tests. On its
 * vsock ports it
 *
 *   1000  sends back what comes until it ends ("echo")
 *   1001  reads "PORT COUNT", makes COUNT connections to that port of the host and echoes on each;
 *         says "echoed N" (connections that came to a good end), with ", else ERROR" for the rest
 *   1002  sends zeros until that fails, and says why on the console
 *   1003  reads 4096 bytes and is gone
 *
 * Each connection has a process. hvc0 becomes the controlling terminal; its size is said at the
 * beginning and each time it changes, lines that are typed are said again, and "off" ends it all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "init.h"

#define HOST_CID    2
#define FIRST_PORT  1000
#define SERVICES    4
#define CHUNK_BYTES 65536

static char chunk[CHUNK_BYTES];

static bool write_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		ssize_t done = write(fd, data, bytes);

		if (done < 0)
			return false;
		data += done;
		bytes -= (size_t)done;
	}
	return true;
}

/* False where the stream did not end in order, with why in errno. */
static bool echo(int fd)
{
	ssize_t got;

	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		if (!write_all(fd, chunk, (size_t)got))
			return false;
	return !got && !shutdown(fd, SHUT_WR);
}

static void serve_echo(int fd)
{
	if (!echo(fd))
		fact("echo failed", strerrorname_np(errno));
}

/* In a process of its own: 0, or the errno. */
static int dial(unsigned int port)
{
	const struct sockaddr_vm host = { .svm_family = AF_VSOCK,
					  .svm_cid = HOST_CID,
					  .svm_port = port };
	/* Linux waits 2 s, which an emulated host with as many programs may take. */
	const struct timeval limit = { .tv_sec = 60 };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit)) ||
	    connect(fd, (const struct sockaddr *)&host, sizeof(host)) || !echo(fd))
		return errno;
	return 0;
}

static void read_line(int fd, char *line, size_t bytes)
{
	size_t length = 0;

	while (length + 1 < bytes && read(fd, line + length, 1) == 1 && line[length] != '\n')
		length++;
	line[length] = 0;
}

static void serve_dial(int fd)
{
	unsigned int port = 0, count = 0, good = 0;
	int status, code = 0;
	char line[64];

	signal(SIGCHLD, SIG_DFL); /* to wait for */
	read_line(fd, line, sizeof(line));
	if (sscanf(line, "%u %u", &port, &count) != 2)
		return;
	for (unsigned int i = 0; i < count; i++)
		if (!fork())
			_exit(dial(port));
	while (wait(&status) > 0) {
		good += WIFEXITED(status) && !WEXITSTATUS(status);
		code = WEXITSTATUS(status) ? WEXITSTATUS(status) : code;
	}
	dprintf(fd, "echoed %u%s%s\n", good, code ? ", else " : "",
		code ? strerrorname_np(code) : "");
}

static void serve_zeros(int fd)
{
	memset(chunk, 0, sizeof(chunk));
	while (write_all(fd, chunk, sizeof(chunk)))
		;
	fact("zeros ended", strerrorname_np(errno));
}

static void serve_drop(int fd)
{
	if (recv(fd, chunk, 4096, MSG_WAITALL) == 4096)
		fact("drop", "now");
}

static void (*const services[SERVICES])(int fd) = { serve_echo, serve_dial, serve_zeros,
						    serve_drop };

static int listen_on(unsigned int port)
{
	const struct sockaddr_vm own = { .svm_family = AF_VSOCK,
					 .svm_cid = VMADDR_CID_ANY,
					 .svm_port = port };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&own, sizeof(own)) || listen(fd, 128))
		fail("vsock");
	return fd;
}

static void serve_one(int listener, unsigned int service)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		fail("accept");
	if (!fork()) {
		services[service](fd);
		fflush(stdout);
		_exit(0);
	}
	close(fd);
}

/* ---- The console ---- */

static void take_console(void)
{
	int fd = open("/dev/hvc0", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || setsid() < 0 || ioctl(fd, TIOCSCTTY, 0))
		fail("hvc0");
	fflush(stdout);
	if (dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		fail("dup2");
	close(fd);
}

static void say_size(void)
{
	struct winsize size = { 0 };
	char text[32];

	if (ioctl(0, TIOCGWINSZ, &size))
		fail("TIOCGWINSZ");
	snprintf(text, sizeof(text), "%ux%u", size.ws_col, size.ws_row);
	fact("size", text);
}

static int watch_size(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

void sockets_serve(void)
{
	struct pollfd polls[SERVICES + 2];
	struct pollfd *size = &polls[SERVICES], *typed = &polls[SERVICES + 1];
	struct signalfd_siginfo info;
	char line[256] = "";

	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	take_console();
	*size = (struct pollfd){ .fd = watch_size(), .events = POLLIN };
	*typed = (struct pollfd){ .fd = 0, .events = POLLIN };
	for (unsigned int i = 0; i < SERVICES; i++)
		polls[i] = (struct pollfd){ .fd = listen_on(FIRST_PORT + i), .events = POLLIN };
	say_size();
	fact("waiting", "sockets");
	while (strcmp(line, "off") != 0) {
		if (poll(polls, SERVICES + 2, -1) < 0)
			fail("poll");
		for (unsigned int i = 0; i < SERVICES; i++)
			if (polls[i].revents)
				serve_one(polls[i].fd, i);
		if (size->revents && read(size->fd, &info, sizeof(info)) > 0)
			say_size();
		if (typed->revents) {
			read_line(0, line, sizeof(line));
			fact("typed", line);
		}
	}
	mark(MARK_SERVED);
}
