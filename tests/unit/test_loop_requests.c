/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_requests: each kind of request does what it says, and no descriptor is left behind. */
#include "tests/unit/loop_fixture.h"

static void poll_tells_events(void **state)
{
	struct loop *loop = create(8);
	struct job readable, writable;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	job_init(&writable, loop, false);
	job_init(&readable, loop, true);
	assert_int_equal(loop_poll(loop, &writable.request, pair[0], POLLOUT), 0);
	assert_int_equal(loop_poll(loop, &readable.request, pair[0], POLLIN), 0);
	close(pair[1]);
	run_on_thread(loop);
	assert_int_equal(readable.result & POLLIN, POLLIN);
	assert_int_equal(writable.result & POLLOUT, POLLOUT);
	loop_destroy(loop);
	close(pair[0]);
}

static void errors_of_requests(void **state)
{
	struct loop *loop = create(8);
	struct job bad;
	char byte;

	(void)state;
	job_init(&bad, loop, true);
	assert_int_equal(loop_read(loop, &bad.request, 1 << 20, &byte, 1), 0);
	run_on_thread(loop);
	assert_int_equal(bad.result, -EBADF);
	loop_destroy(loop);
}

/* A terminal's read may sit in a thread of the kernel, not in a poll: the end must get it out too.
 */
static void terminal_pending_at_the_end(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct loop *loop = create(8);
	struct job read, stopper;
	char name[64], byte;
	int slave;

	(void)state;
	assert_true(master >= 0);
	if (grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof(name)))
		skip();
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	job_init(&read, loop, false);
	job_init(&stopper, loop, true);
	assert_int_equal(loop_read(loop, &read.request, slave, &byte, 1), 0);
	assert_int_equal(loop_timeout(loop, &stopper.request, NS_PER_SEC / 100), 0);
	run_on_thread(loop);
	assert_int_equal(read.completions, 1);
	assert_true(read.result < 0);
	loop_destroy(loop);
	close(slave);
	close(master);
}

static unsigned int open_fds(void)
{
	unsigned int count = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void no_descriptor_is_left(void **state)
{
	unsigned int before = open_fds(), i;

	(void)state;
	for (i = 0; i < 20; i++) {
		struct loop *loop = create(8);

		if (i % 2) {
			loop_stop(loop);
			run_on_thread(loop);
		}
		loop_destroy(loop);
	}
	assert_int_equal(open_fds(), before);
}

/* The fourth to end stops the loop, whichever it is. */
static unsigned int files_left;

static void file_job_done(struct loop_request *request, int result)
{
	job_of(request)->stop = --files_left == 0;
	job_done(request, result);
}

/* A file with vectors, at offsets, and what else images need. */
static void files_at_offsets(void **state)
{
	char path[] = "/tmp/test_loop.XXXXXX", a[4] = "", b[4] = "";
	const struct iovec out[] = { { "abcd", 4 }, { "efgh", 4 } };
	const struct iovec in[] = { { a, 2 }, { b, 4 } };
	struct loop *loop = create(8);
	struct job jobs[4];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	files_left = 4;
	for (unsigned int i = 0; i < 4; i++) {
		job_init(&jobs[i], loop, false);
		jobs[i].request.done = file_job_done;
	}
	assert_int_equal(pwritev(fd, out, 2, 100), 8);
	assert_int_equal(loop_writev(loop, &jobs[0].request, fd, out, 1, 106), 0);
	assert_int_equal(loop_readv(loop, &jobs[1].request, fd, in, 2, 101), 0);
	assert_int_equal(loop_fdatasync(loop, &jobs[2].request, fd), 0);
	assert_int_equal(loop_fallocate(loop, &jobs[3].request, fd, 0, 0, 8192), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(jobs[0].result, 4);
	assert_int_equal(jobs[1].result, 6);
	assert_int_equal(a[0], 'b');
	assert_int_equal(b[0], 'd');
	assert_int_equal(jobs[2].result, 0);
	assert_int_equal(jobs[3].result, 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0); /* the file position is not ours */
	close(fd);
	loop_destroy(loop);
}

/* A watch and a task that runs once for what came together. */
struct watch {
	struct loop_request request;
	struct loop_task task;
	struct loop *loop;
	int fd;
	unsigned int events, runs, rounds;
};

static void watch_task(struct loop_task *task)
{
	struct watch *watch = (struct watch *)((char *)task - offsetof(struct watch, task));
	const uint64_t one = 1;

	assert_false(task->queued);
	watch->runs++;
	if (watch->runs == watch->rounds)
		loop_stop(watch->loop);
	else
		assert_int_equal(write(watch->fd, &one, sizeof(one)), sizeof(one));
}

static void watch_done(struct loop_request *request, int result)
{
	struct watch *watch = (struct watch *)((char *)request - offsetof(struct watch, request));

	if (result == -ECANCELED) {
		assert_false(request->pending);
		return;
	}
	assert_true(request->pending);
	assert_true(result & POLLIN);
	watch->events++;
	loop_defer(watch->loop, &watch->task);
	loop_defer(watch->loop, &watch->task);
}

static void watches_without_reading(void **state)
{
	struct watch watch = { .rounds = 100 };
	const uint64_t one = 1;

	(void)state;
	watch.request.done = watch_done;
	watch.task.run = watch_task;
	watch.loop = create(8);
	watch.fd = eventfd(0, EFD_CLOEXEC);
	assert_true(watch.fd >= 0);
	assert_int_equal(write(watch.fd, &one, sizeof(one)), sizeof(one)); /* before the watch */
	assert_int_equal(loop_watch(watch.loop, &watch.request, watch.fd), 0);
	assert_int_equal(loop_watch(watch.loop, &watch.request, watch.fd), -EBUSY);
	assert_int_equal(loop_run(watch.loop), 0);
	assert_int_equal(watch.runs, 100);
	assert_int_equal(watch.events, 100);
	assert_false(watch.request.pending);
	close(watch.fd);
	loop_destroy(watch.loop);
}

/* Reads from a descriptor whose number has come to mean another file meanwhile. */
struct swap {
	struct loop_request timer;
	struct job read;
	int fd;
	int other_fd;
	char data[8];
};

static void swap_and_read(struct loop_request *request, int result)
{
	struct swap *swap = (struct swap *)((char *)request - offsetof(struct swap, timer));

	(void)result;
	assert_true(dup2(swap->other_fd, swap->fd) >= 0);
	assert_int_equal(loop_read(swap->read.loop, &swap->read.request, swap->fd, swap->data, 1),
			 0);
}

static void registered_file_is_the_rings(void **state)
{
	struct swap swap = { .timer = { .done = swap_and_read } };
	struct loop *loop = create(8);
	int first[2], second[2];

	(void)state;
	assert_int_equal(pipe(first), 0);
	assert_int_equal(pipe(second), 0);
	assert_int_equal(write(first[1], "1", 1), 1);
	assert_int_equal(write(second[1], "2", 1), 1);
	swap.fd = first[0];
	swap.other_fd = second[0];
	job_init(&swap.read, loop, true);
	for (int i = 0; i < LOOP_FILES + 1; i++) /* one too many is no error */
		loop_register_file(loop, swap.fd);
	assert_int_equal(loop_timeout(loop, &swap.timer, 1), 0);
	run_on_thread(loop);
	assert_int_equal(swap.read.result, 1);
	assert_int_equal(swap.data[0], '1');
	loop_destroy(loop);
	for (int i = 0; i < 2; i++) {
		close(first[i]);
		close(second[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(poll_tells_events),
		cmocka_unit_test(errors_of_requests),
		cmocka_unit_test(terminal_pending_at_the_end),
		cmocka_unit_test(no_descriptor_is_left),
		cmocka_unit_test(files_at_offsets),
		cmocka_unit_test(watches_without_reading),
		cmocka_unit_test(registered_file_is_the_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
