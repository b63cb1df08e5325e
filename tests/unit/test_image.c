/* SPDX-License-Identifier: Apache-2.0 */
/* test_image: what may be a disk, what may not and why, and who else may have it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/image.h"

static char folder[] = "/tmp/test_image.XXXXXX";
static char path[64];

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/image", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void make(off_t bytes)
{
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

static void refuses(const char *what, bool read_only, int code, const char *words)
{
	const struct image_options options = { .read_only = read_only };
	struct image image = { .fd = 99 };
	struct error error = { 0 };

	assert_int_equal(image_open(&image, what, &options, &error), -code);
	assert_non_null(strstr(error.text, what));
	assert_non_null(strstr(error.text, words));
	assert_int_equal(image.fd, 99);
}

static void test_refuses(void **state)
{
	(void)state;
	unlink(path);
	refuses(path, false, ENOENT, "cannot open");
	refuses(folder, false, EISDIR, "is a directory");
	refuses(folder, true, EISDIR, "is a directory");
	make(0);
	refuses(path, false, EINVAL, "empty");
	make(513);
	refuses(path, true, EINVAL, "513");
	refuses("/dev/null", false, EINVAL, "neither");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refuses(path, true, EINVAL, "neither"); /* and does not hang */
	refuses(path, false, EINVAL, "neither");
	unlink(path);
}

static void test_opens(void **state)
{
	const struct image_options options = { .direct = true };
	struct image image;
	char *buffer = NULL;
	struct iovec iov;

	(void)state;
	make(1 << 20);
	assert_int_equal(image_open(&image, path, &options, NULL), 0);
	assert_int_equal(image.bytes, 1 << 20);
	assert_int_equal(image.block_bytes, 512);
	assert_false(image.read_only);
	assert_false(fcntl(image.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(image.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(posix_memalign((void **)&buffer, 4096, 8192), 0);
	iov = (struct iovec){ buffer, 4096 };
	assert_int_equal(image_fd_for(&image, &iov, 1, 4096),
			 image.direct_fd >= 0 ? image.direct_fd : image.fd);
	assert_int_equal(image_fd_for(&image, &iov, 1, 512), image.fd);
	iov.iov_base = buffer + 512;
	assert_int_equal(image_fd_for(&image, &iov, 1, 0), image.fd);
	free(buffer);
	image_close(&image);
	image_close(&image); /* once more is nothing */
	assert_int_equal(image.fd, -1);
}

static void test_locks(void **state)
{
	const struct image_options rw = { 0 }, ro = { .read_only = true };
	struct image first, second;

	(void)state;
	make(4096);
	assert_int_equal(image_open(&first, path, &rw, NULL), 0);
	refuses(path, false, EBUSY, "another VM");
	refuses(path, true, EBUSY, "writes to it");
	image_close(&first);
	assert_int_equal(image_open(&first, path, &ro, NULL), 0);
	assert_int_equal(image_open(&second, path, &ro, NULL), 0);
	refuses(path, false, EBUSY, "another VM");
	image_close(&second);
	image_close(&first);
	assert_int_equal(image_open(&first, path, &rw, NULL), 0);
	image_close(&first);
}

/* A VM that is killed leaves no lock behind. */
static void test_lock_ends_with_the_process(void **state)
{
	const struct image_options rw = { 0 };
	struct image image;
	int ready[2], status;
	char byte;
	pid_t child;

	(void)state;
	make(4096);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		if (image_open(&image, path, &rw, NULL) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	refuses(path, false, EBUSY, "another VM");
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(image_open(&image, path, &rw, NULL), 0);
	image_close(&image);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_lock_ends_with_the_process),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
