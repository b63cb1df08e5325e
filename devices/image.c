/* SPDX-License-Identifier: Apache-2.0 */
/* image: a raw disk image, a file or a block device. */
#include "devices/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"

/* What every file system and device takes with O_DIRECT; what is less aligned goes the other way.
 */
#define DIRECT_ALIGNMENT 4096
#define BLOCK_BYTES_MAX  4096

/* O_NONBLOCK: a FIFO must not hang the open; a file does not care. O_EXCL without O_CREAT claims a
 * block device against mounts, and is nothing to a file. */
static int open_path(struct image *image, const char *path, struct error *error)
{
	int flags =
		O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (image->read_only ? O_RDONLY : O_RDWR | O_EXCL);

	image->fd = open(path, flags);
	if (image->fd >= 0)
		return 0;
	switch (errno) {
	case EISDIR:
		return error_set(error, EISDIR, "disk image %s is a directory", path);
	case EBUSY:
		return error_set(error, EBUSY, "disk %s is in use by the host (mounted?)", path);
	case EACCES:
	case EROFS:
		return error_set(error, errno, "cannot open disk image %s%s: %s", path,
				 image->read_only ? "" : " for writing (ro opens it read-only)",
				 error_name(errno));
	default:
		return error_set(error, errno, "cannot open disk image %s: %s", path,
				 error_name(errno));
	}
}

static int measure_device(struct image *image, const char *path, struct error *error)
{
	int block_bytes;

	if (ioctl(image->fd, BLKGETSIZE64, &image->bytes) ||
	    ioctl(image->fd, BLKSSZGET, &block_bytes))
		return error_set(error, errno, "cannot measure disk %s: %s", path,
				 error_name(errno));
	if (block_bytes < IMAGE_SECTOR_BYTES || block_bytes > BLOCK_BYTES_MAX ||
	    !num_is_power_of_two((uint64_t)block_bytes))
		return error_set(error, EINVAL, "disk %s has blocks of %d bytes: 512 to 4096 work",
				 path, block_bytes);
	image->block_bytes = (uint32_t)block_bytes;
	return 0;
}

static int measure(struct image *image, const char *path, struct error *error)
{
	struct statfs system;
	struct stat stat;
	int rc = 0;

	if (fstat(image->fd, &stat))
		return error_set(error, errno, "cannot measure disk image %s: %s", path,
				 error_name(errno));
	if (S_ISDIR(stat.st_mode))
		return error_set(error, EISDIR, "disk image %s is a directory", path);
	if (!S_ISREG(stat.st_mode) && !S_ISBLK(stat.st_mode))
		return error_set(error, EINVAL,
				 "disk image %s is neither a file nor a block device", path);
	image->bytes = (uint64_t)stat.st_size;
	image->block_bytes = IMAGE_SECTOR_BYTES;
	image->block_device = S_ISBLK(stat.st_mode);
	if (image->block_device)
		rc = measure_device(image, path, error);
	else if (fstatfs(image->fd, &system) == 0)
		image->in_memory = system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
	if (rc)
		return rc;
	if (!image->bytes)
		return error_set(error, EINVAL, "disk image %s is empty", path);
	if (image->bytes % image->block_bytes)
		return error_set(error, EINVAL,
				 "disk image %s has %llu bytes, which is not a multiple of %u",
				 path, (unsigned long long)image->bytes, image->block_bytes);
	return 0;
}

static int lock(const struct image *image, const char *path, struct error *error)
{
	struct flock lock = {
		.l_type = image->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(image->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(error, EBUSY, "disk image %s is in use by another VM%s", path,
				 image->read_only ? " that writes to it" : "");
	if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS)
		return 0; /* a file system without locks: nobody can have one */
	return error_set(error, errno, "cannot lock disk image %s: %s", path, error_name(errno));
}

static void open_direct(struct image *image)
{
	char self[sizeof("/proc/self/fd/") + 12];
	int flags = O_CLOEXEC | O_NOCTTY | O_DIRECT | (image->read_only ? O_RDONLY : O_RDWR);

	/* The same file, whatever became of its name meanwhile. Nobody asks when a VM last read its
	 * disk, and not to look whether that is to be noted saves a fortieth of a small read; it
	 * takes the file's owner to say so. */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", image->fd);
	image->direct_fd = open(self, flags | O_NOATIME);
	if (image->direct_fd < 0 && errno == EPERM)
		image->direct_fd = open(self, flags);
}

/*
 * A block device's pages leave the cache when the last who has it open closes it: a VM finds it
 * cold, and filling it costs more than going past it (RAM disk, -icount, the host's share of a
 * 4 KiB read: 20.8 k instructions against 16.4 k one at a time, 9.2 k against 5.3 k at depth 32).
 */
static bool wants_direct(const struct image *image, const struct image_options *options)
{
	return (options->direct && !image->in_memory) || image->block_device;
}

int image_open(struct image *image, const char *path, const struct image_options *options,
	       struct error *error)
{
	struct image opened = { .fd = -1, .direct_fd = -1, .read_only = options->read_only };
	int rc;

	rc = open_path(&opened, path, error);
	if (!rc)
		rc = measure(&opened, path, error);
	if (!rc)
		rc = lock(&opened, path, error);
	if (rc)
		goto fail;
	fcntl(opened.fd, F_SETFL, 0); /* O_NONBLOCK is over; access mode and the rest stay */
	if (wants_direct(&opened, options))
		open_direct(&opened);
	*image = opened;
	return 0;
fail:
	image_close(&opened);
	return rc;
}

void image_close(struct image *image)
{
	fd_close(&image->direct_fd);
	fd_close(&image->fd);
}

int image_fd_for(const struct image *image, const struct iovec *iov, uint32_t count,
		 uint64_t offset)
{
	uint64_t bits = offset;

	if (image->direct_fd < 0)
		return image->fd;
	for (uint32_t i = 0; i < count; i++)
		bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return bits % DIRECT_ALIGNMENT ? image->fd : image->direct_fd;
}
