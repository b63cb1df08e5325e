/* SPDX-License-Identifier: Apache-2.0 */
/* fd: owned file descriptors, and reads and writes that finish. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"

void fd_close(int *fd)
{
	/* Linux has closed it even where close() says EINTR: trying again could hit a stranger. */
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int fd_duplicate(int fd)
{
	/* From 3 on: a process without standard input must not get one by accident. */
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

int fd_keep(int fd, int *own, const char *what, struct error *error)
{
	int ret;

	if (fd < 0)
		return 0;
	ret = fd_duplicate(fd);
	if (ret < 0)
		return error_set(error, -ret, "%s (descriptor %d): %s", what, fd, error_name(-ret));
	*own = ret;
	return 0;
}

int fd_read_at(int fd, void *data, size_t bytes, uint64_t offset)
{
	uint8_t *at = data;

	if (!num_within(offset, bytes, INT64_MAX))
		return -EOVERFLOW;
	while (bytes) {
		ssize_t got = pread(fd, at, bytes, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA;
		at += got;
		offset += (uint64_t)got;
		bytes -= (size_t)got;
	}
	return 0;
}

static int wait_for_room(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLOUT };

	if (poll(&pollfd, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int fd_write_all(int fd, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	while (bytes) {
		ssize_t put = write(fd, at, bytes);

		if (put < 0 && errno == EAGAIN) {
			int rc = wait_for_room(fd);

			if (rc)
				return rc;
			continue;
		}
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		at += put;
		bytes -= (size_t)put;
	}
	return 0;
}

/* Reads until the end of the file or until bytes are there: how many, or negative errno. */
static ssize_t read_up_to(int fd, char *text, size_t bytes)
{
	size_t length = 0;

	while (length < bytes) {
		ssize_t got = read(fd, text + length, bytes - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	return (ssize_t)length;
}

int fd_read_text(const char *path, char *text, size_t bytes)
{
	ssize_t length;
	int fd;

	if (bytes == 0 || bytes > INT32_MAX)
		return -EINVAL;
	text[0] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	length = read_up_to(fd, text, bytes);
	close(fd);
	if (length == (ssize_t)bytes)
		length = -EFBIG; /* no room for the terminator: it may not be all of the file */
	if (length < 0) {
		text[0] = '\0';
		return (int)length;
	}
	while (length > 0 && text[length - 1] == '\n')
		length--;
	text[length] = '\0';
	return (int)length;
}

/* The size of a regular file or block device, or why it is neither. */
static int file_bytes(int fd, uint64_t *bytes)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	if (S_ISDIR(stat.st_mode))
		return -EISDIR;
	if (S_ISBLK(stat.st_mode))
		return ioctl(fd, BLKGETSIZE64, bytes) ? -errno : 0;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	*bytes = (uint64_t)stat.st_size;
	return 0;
}

int fd_open_file(const char *path, uint64_t *bytes)
{
	uint64_t size = 0;
	int fd, rc;

	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	rc = file_bytes(fd, &size);
	if (!rc && fcntl(fd, F_SETFL, 0))
		rc = -errno;
	if (rc) {
		close(fd);
		return rc;
	}
	if (bytes)
		*bytes = size;
	return fd;
}
