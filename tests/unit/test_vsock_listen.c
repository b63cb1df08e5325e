/* SPDX-License-Identifier: Apache-2.0 */
/* test_vsock_listen: where a socket device may listen, and what it does about a socket that is
 * there. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/vsock_fixture.h"

static void refused_setup(struct bench *bench, const char *path, uint64_t cid, int code,
			  const char *text)
{
	struct error error = { 0 };

	assert_int_equal(create(bench, path, cid, &error), -code);
	if (!strstr(error.text, text))
		fail_msg("'%s' is not in '%s'", text, error.text);
}

static void bad_setups(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	char path[200] = "/tmp/";
	struct stat file;
	int fd;

	(void)state;
	fake_io_init(&bench->io);
	refused_setup(bench, "/tmp/stet-vsock", 2, EINVAL, "CID");
	refused_setup(bench, "/tmp/stet-vsock", UINT32_MAX, EINVAL, "CID");
	refused_setup(bench, "/tmp/stet-vsock", UINT64_C(0x100000003), EINVAL, "CID");
	refused_setup(bench, "", 3, EINVAL, "path");
	refused_setup(bench, "/nonexistent/vsock", 3, ENOENT, "cannot listen on /nonexistent");
	memset(path + 5, 'x', 92);
	refused_setup(bench, path, 3, ENAMETOOLONG, "it has 97");
	/* In use by a program, or by something else. */
	snprintf(path, sizeof(path), "/tmp/stet-vsock-%d-bad", getpid());
	fd = host_socket(path, true);
	refused_setup(bench, path, 3, EADDRINUSE, "in use");
	/* The program is gone, its socket is not: it is taken. */
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(create(bench, path, 3, NULL), 0);
	virtio_destroy(bench->virtio);
	assert_int_equal(access(path, F_OK), -1);
	fd = creat(path, 0600);
	refused_setup(bench, path, 3, EADDRINUSE, "in use");
	assert_int_equal(fstat(fd, &file), 0);
	assert_int_equal(file.st_nlink, 1);
	close(fd);
	unlink(path);
	loop_destroy(bench->io.loop);
	fake_ram_fini(&bench->io.ram);
	free(bench);
}

/* A listening socket that outlives the process which began to listen: as that of a killed one does
 * for a moment, or because a child of it has it. */
static int orphaned_listener(const char *path)
{
	int numbers[2], number, process, fd;
	pid_t child;

	assert_int_equal(pipe(numbers), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		number = host_socket(path, true);
		if (write(numbers[1], &number, sizeof(number)) == sizeof(number))
			pause();
		_exit(1);
	}
	assert_int_equal(read(numbers[0], &number, sizeof(number)), sizeof(number));
	process = pidfd_open(child, 0);
	fd = pidfd_getfd(process, number, 0);
	assert_true(fd >= 0);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(process);
	close(numbers[0]);
	close(numbers[1]);
	return fd;
}

static void *close_soon(void *opaque)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000000 };

	nanosleep(&pause, NULL);
	fd_close(opaque);
	return NULL;
}

static void listener_of_a_dead_process(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	char path[64];
	pthread_t thread;
	int fd;

	(void)state;
	fake_io_init(&bench->io);
	snprintf(path, sizeof(path), "/tmp/stet-vsock-%d-dead", getpid());
	fd = orphaned_listener(path);
	refused_setup(bench, path, 3, EADDRINUSE, "in use");
	assert_int_equal(pthread_create(&thread, NULL, close_soon, &fd), 0);
	assert_int_equal(create(bench, path, 3, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(fd, -1);
	virtio_destroy(bench->virtio);
	assert_int_equal(access(path, F_OK), -1);
	loop_destroy(bench->io.loop);
	fake_ram_fini(&bench->io.ram);
	free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_setups),
		cmocka_unit_test(listener_of_a_dead_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
