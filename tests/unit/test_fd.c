/* SPDX-License-Identifier: Apache-2.0 */
/* test_fd: reads and writes that finish, on pipes, files and what is neither. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/num.h"

static char directory[] = "/tmp/test_fd.XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static void path_of(char path[64], const char *name)
{
	snprintf(path, 64, "%s/%s", directory, name);
}

static void close_once(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int number = fd;

	(void)state;
	assert_true(fd >= 0);
	fd_close(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(number, F_GETFD), -1);
	fd_close(&fd);
	assert_int_equal(fd, -1);
}

static void duplicate(void **state)
{
	int copy = fd_duplicate(STDERR_FILENO);

	(void)state;
	assert_true(copy >= 3);
	assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
	fd_close(&copy);
	assert_int_equal(fd_duplicate(-1), -EBADF);
}

static void keep(void **state)
{
	struct error error = { 0 };
	int kept = -1;

	(void)state;
	assert_int_equal(fd_keep(-1, &kept, "nothing", &error), 0);
	assert_int_equal(kept, -1);
	assert_int_equal(fd_keep(1 << 20, &kept, "the input", &error), -EBADF);
	assert_int_equal(kept, -1);
	assert_string_equal(error.text, "the input (descriptor 1048576): Bad file descriptor");
	assert_int_equal(fd_keep(STDERR_FILENO, &kept, "the input", &error), 0);
	assert_true(kept >= 3);
	fd_close(&kept);
}

static void read_at(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	char data[8] = "";

	(void)state;
	assert_int_equal(fd_write_all(fd, "0123456789", 10), 0);
	assert_int_equal(fd_read_at(fd, data, 4, 3), 0);
	assert_memory_equal(data, "3456", 4);
	assert_int_equal(fd_read_at(fd, data, 4, 6), 0);
	assert_int_equal(fd_read_at(fd, data, 4, 7), -ENODATA);
	assert_int_equal(fd_read_at(fd, data, 1, 10), -ENODATA);
	assert_int_equal(fd_read_at(fd, data, 0, 100), 0);
	assert_int_equal(fd_read_at(fd, data, 1, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(fd_read_at(fd, data, 8, INT64_MAX - 4), -EOVERFLOW);
	fd_close(&fd);
	assert_int_equal(fd_read_at(fd, data, 1, 0), -EBADF);
}

/* More than a pipe holds, through a descriptor that does not wait, with signals in between. */
#define STREAM_BYTES (1 << 20)

static void *slow_reader(void *opaque)
{
	int fd = *(int *)opaque;
	uint64_t sum = 0;
	uint8_t data[4096];
	ssize_t got, i;

	while ((got = read(fd, data, sizeof(data))) > 0)
		for (i = 0; i < got; i++)
			sum += data[i];
	return (void *)(uintptr_t)sum;
}

static void no_action(int signal)
{
	(void)signal;
}

struct annoyer {
	pthread_t victim;
	_Atomic int stop;
};

static void *annoy(void *opaque)
{
	struct annoyer *annoyer = opaque;

	while (!annoyer->stop) {
		pthread_kill(annoyer->victim, SIGUSR1);
		usleep(200);
	}
	return NULL;
}

static void write_all_waits(void **state)
{
	struct sigaction action = { .sa_handler = no_action };
	struct annoyer annoyer = { .victim = pthread_self() };
	pthread_t reader, annoyer_thread;
	uint64_t sum = 0;
	uint8_t *data;
	int fds[2];
	void *result;
	size_t i;

	(void)state;
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	data = malloc(STREAM_BYTES);
	assert_non_null(data);
	for (i = 0; i < STREAM_BYTES; i++) {
		data[i] = (uint8_t)(i * 7);
		sum += data[i];
	}
	assert_int_equal(pthread_create(&reader, NULL, slow_reader, &fds[0]), 0);
	assert_int_equal(pthread_create(&annoyer_thread, NULL, annoy, &annoyer), 0);
	assert_int_equal(fd_write_all(fds[1], data, STREAM_BYTES), 0);
	annoyer.stop = 1;
	pthread_join(annoyer_thread, NULL);
	fd_close(&fds[1]);
	pthread_join(reader, &result);
	assert_int_equal((uintptr_t)result, sum);
	free(data);
	fd_close(&fds[0]);
}

static void write_all_fails(void **state)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	int fds[2];

	(void)state;
	sigaction(SIGPIPE, &ignore, NULL);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fd_close(&fds[0]);
	assert_int_equal(fd_write_all(fds[1], "x", 1), -EPIPE);
	assert_int_equal(fd_write_all(fds[1], "x", 0), 0);
	fd_close(&fds[1]);
	assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
}

static void make_file(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, content, strlen(content)), 0);
	fd_close(&fd);
}

static void read_text(void **state)
{
	char path[64], text[8];

	(void)state;
	path_of(path, "text");
	make_file(path, "1234567");
	assert_int_equal(fd_read_text(path, text, sizeof(text)), 7);
	assert_string_equal(text, "1234567");
	make_file(path, "12\n34\n\n");
	assert_int_equal(fd_read_text(path, text, sizeof(text)), 5);
	assert_string_equal(text, "12\n34");
	make_file(path, "");
	assert_int_equal(fd_read_text(path, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	make_file(path, "\n");
	assert_int_equal(fd_read_text(path, text, sizeof(text)), 0);
	make_file(path, "12345678");
	assert_int_equal(fd_read_text(path, text, sizeof(text)), -EFBIG);
	assert_string_equal(text, "");
	assert_int_equal(fd_read_text(path, text, 0), -EINVAL);
	unlink(path);
	assert_int_equal(fd_read_text(path, text, sizeof(text)), -ENOENT);
	assert_int_equal(fd_read_text(directory, text, sizeof(text)), -EISDIR);
	assert_true(fd_read_text("/proc/self/comm", text, sizeof(text)) > 0 ||
		    fd_read_text("/proc/self/comm", text, sizeof(text)) == -EFBIG);
}

static void open_file(void **state)
{
	uint64_t bytes = 99;
	char path[64];
	int fd;

	(void)state;
	path_of(path, "file");
	make_file(path, "12345");
	fd = fd_open_file(path, &bytes);
	assert_true(fd >= 0);
	assert_true(bytes == 5);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	fd_close(&fd);
	fd = fd_open_file(path, NULL);
	assert_true(fd >= 0);
	fd_close(&fd);
	unlink(path);

	bytes = 99;
	assert_int_equal(fd_open_file(path, &bytes), -ENOENT);
	assert_int_equal(fd_open_file(directory, &bytes), -EISDIR);
	assert_int_equal(fd_open_file("/dev/null", &bytes), -EINVAL);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(fd_open_file(path, &bytes), -EINVAL); /* and does not wait for a writer */
	unlink(path);
	assert_true(bytes == 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_once),      cmocka_unit_test(duplicate),
		cmocka_unit_test(read_at),         cmocka_unit_test(write_all_waits),
		cmocka_unit_test(write_all_fails), cmocka_unit_test(read_text),
		cmocka_unit_test(open_file),       cmocka_unit_test(keep),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
