/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_listen: the Unix socket on which a socket device listens: made in the place of one that a
 * dead program left, never of one that is in use. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "devices/vsock_device.h"

#define BACKLOG      128
/* "_" and a port */
#define SUFFIX_BYTES 11
#define TRIES        100

static const struct timespec between_tries = { .tv_nsec = 10000000 }; /* 10 ms */

/*
 * Two that replace the same socket at once must not remove each other's: they take turns by a lock
 * of the folder. A descriptor, or -1: somebody else holds it for long, or there is none.
 */
static int lock_folder(const struct sockaddr_un *address)
{
	char path[sizeof(address->sun_path)];
	int fd;

	memcpy(path, address->sun_path, sizeof(path));
	fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < TRIES && flock(fd, LOCK_EX | LOCK_NB); i++)
		nanosleep(&between_tries, NULL);
	return fd;
}

enum probe {
	PROBE_LIVE,
	PROBE_DYING, /* answers, but the process that began to listen is dead */
	PROBE_DEAD,  /* nobody listens */
};

static bool listener_is_dead(int fd)
{
	struct ucred peer = { .pid = 0 };
	socklen_t bytes = sizeof(peer);
	struct pollfd process = { .events = POLLIN };
	bool dead;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) || peer.pid <= 0)
		return false;
	process.fd = pidfd_open(peer.pid, 0);
	if (process.fd < 0)
		return errno == ESRCH;
	dead = poll(&process, 1, 0) == 1;
	fd_close(&process.fd);
	return dead;
}

static enum probe probe(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enum probe found;

	if (fd < 0)
		return PROBE_LIVE;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		found = errno == ECONNREFUSED ? PROBE_DEAD : PROBE_LIVE;
	else
		found = listener_is_dead(fd) ? PROBE_DYING : PROBE_LIVE;
	fd_close(&fd);
	return found;
}

/*
 * A socket that nobody listens on is what a program that was killed leaves behind. io_uring ends
 * the requests of a killed process in its own time, some milliseconds, and until then its socket
 * answers; where it goes on doing so, a child of that process has it.
 */
static bool is_left_behind(const struct sockaddr_un *address)
{
	enum probe found = probe(address);

	for (int i = 0; found == PROBE_DYING && i < TRIES; i++) {
		nanosleep(&between_tries, NULL);
		found = probe(address);
	}
	return found == PROBE_DEAD;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
	struct stat file;

	if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (lstat(address->sun_path, &file) || !S_ISSOCK(file.st_mode) ||
	    !is_left_behind(address) || unlink(address->sun_path))
		return -EADDRINUSE;
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
}

static int bind_and_listen(struct vsock *vsock)
{
	int folder = lock_folder(&vsock->address);
	int ret = bind_to(vsock->listen_fd, &vsock->address);

	if (!ret && (listen(vsock->listen_fd, BACKLOG) ||
		     lstat(vsock->address.sun_path, &vsock->socket_file)))
		ret = -errno;
	fd_close(&folder);
	return ret;
}

int vsock_listen(struct vsock *vsock, const char *path, struct error *error)
{
	size_t length = strlen(path);
	int ret;

	vsock->listen_fd = -1;
	if (!length || length + SUFFIX_BYTES >= sizeof(vsock->address.sun_path))
		return error_set(error, length ? ENAMETOOLONG : EINVAL,
				 "the vsock socket's path must have 1 to %zu bytes, it has %zu: %s",
				 sizeof(vsock->address.sun_path) - SUFFIX_BYTES - 1, length, path);
	vsock->address.sun_family = AF_UNIX;
	memcpy(vsock->address.sun_path, path, length + 1);
	vsock->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (vsock->listen_fd < 0)
		return error_set(error, errno, "cannot make a socket: %s", error_name(errno));
	ret = bind_and_listen(vsock);
	if (ret == -EADDRINUSE)
		return error_set(error, EADDRINUSE,
				 "%s is in use: another program listens there, or it is no socket",
				 path);
	if (ret)
		return error_set(error, -ret, "cannot listen on %s: %s", path, error_name(-ret));
	vsock_wait_for_clients(vsock);
	return 0;
}

void vsock_unlisten(struct vsock *vsock)
{
	struct stat file;

	if (vsock->listen_fd < 0)
		return;
	fd_close(&vsock->listen_fd);
	/* Not another's that came in its place. */
	if (vsock->socket_file.st_ino && !lstat(vsock->address.sun_path, &file) &&
	    file.st_ino == vsock->socket_file.st_ino && file.st_dev == vsock->socket_file.st_dev)
		unlink(vsock->address.sun_path);
}
