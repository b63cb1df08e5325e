/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop: requests, wakes, stops from any thread, cancellation, and that nothing is left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/num.h"

#define RESULT_NONE 12345

/* A request that remembers how it ended; the common owner of these tests. */
struct job {
	struct loop_request request;
	struct loop *loop;
	int result;
	unsigned int completions;
	bool stop; /* stop the loop when done */
};

static struct job *job_of(struct loop_request *request)
{
	return (struct job *)((char *)request - offsetof(struct job, request));
}

static void job_done(struct loop_request *request, int result)
{
	struct job *job = job_of(request);

	assert_false(request->pending);
	job->result = result;
	job->completions++;
	if (job->stop)
		loop_stop(job->loop);
}

static void job_init(struct job *job, struct loop *loop, bool stop)
{
	memset(job, 0, sizeof(*job));
	job->request.done = job_done;
	job->loop = loop;
	job->result = RESULT_NONE;
	job->stop = stop;
}

static struct loop *create(unsigned int entries)
{
	struct error error = { 0 };
	struct loop *loop = NULL;

	if (loop_create(&loop, entries, &error))
		fail_msg("%s", error.text);
	return loop;
}

static void *run_thread(void *opaque)
{
	return (void *)(intptr_t)loop_run(opaque);
}

static void run_on_thread(struct loop *loop)
{
	pthread_t thread;
	void *rc;

	assert_int_equal(pthread_create(&thread, NULL, run_thread, loop), 0);
	assert_int_equal(pthread_join(thread, &rc), 0);
	assert_int_equal((intptr_t)rc, 0);
}

static void stop_before_run(void **state)
{
	struct loop *loop = create(8);

	(void)state;
	loop_stop(loop);
	run_on_thread(loop);
	assert_int_equal(loop_run(loop), -EALREADY);
	loop_destroy(loop);
	loop_destroy(NULL);
}

static void destroy_without_run(void **state)
{
	struct loop *loop = create(8);
	struct job job;

	(void)state;
	job_init(&job, loop, false);
	assert_int_equal(loop_timeout(loop, &job.request, NS_PER_SEC), 0);
	loop_destroy(loop);
	assert_int_equal(job.completions, 0);
}

static void bad_entries(void **state)
{
	struct error error = { 0 };
	struct loop *loop = NULL;

	(void)state;
	assert_int_equal(loop_create(&loop, 0, &error), -EINVAL);
	assert_null(loop);
	assert_non_null(strstr(error.text, "io_uring"));
}

/* Queued by this thread, run by another: bytes and order, and a timeout that ends it. */
static void read_and_write(void **state)
{
	struct loop *loop = create(8);
	struct job reader, writer, timer;
	char data[16] = { 0 };
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	job_init(&reader, loop, false);
	job_init(&writer, loop, false);
	job_init(&timer, loop, true);
	assert_int_equal(loop_read(loop, &reader.request, pipe_fds[0], data, sizeof(data)), 0);
	assert_true(reader.request.pending);
	assert_int_equal(loop_read(loop, &reader.request, pipe_fds[0], data, 1), -EBUSY);
	assert_int_equal(loop_write(loop, &writer.request, pipe_fds[1], "hello", 5), 0);
	assert_int_equal(loop_timeout(loop, &timer.request, 20 * NS_PER_SEC / 1000), 0);
	run_on_thread(loop);
	assert_int_equal(reader.result, 5);
	assert_int_equal(writer.result, 5);
	assert_int_equal(timer.result, -ETIME);
	assert_string_equal(data, "hello");
	loop_destroy(loop);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* What never ends by itself is cancelled at the end, each exactly once; then nothing is taken. */
static void pending_at_the_end(void **state)
{
	struct loop *loop = create(16);
	struct job read, poll, timer, stopper;
	int pair[2];
	char byte;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	job_init(&read, loop, false);
	job_init(&poll, loop, false);
	job_init(&timer, loop, false);
	job_init(&stopper, loop, true);
	assert_int_equal(loop_read(loop, &read.request, pair[0], &byte, 1), 0);
	assert_int_equal(loop_poll(loop, &poll.request, pair[1], POLLIN), 0);
	assert_int_equal(loop_timeout(loop, &timer.request, 3600 * NS_PER_SEC), 0);
	assert_int_equal(loop_timeout(loop, &stopper.request, 0), 0);
	run_on_thread(loop);
	assert_int_equal(stopper.result, -ETIME);
	assert_int_equal(read.result, -ECANCELED);
	assert_int_equal(poll.result, -ECANCELED);
	assert_int_equal(timer.result, -ECANCELED);
	assert_int_equal(read.completions + poll.completions + timer.completions, 3);
	assert_int_equal(loop_read(loop, &read.request, pair[0], &byte, 1), -ECANCELED);
	loop_destroy(loop);
	close(pair[0]);
	close(pair[1]);
}

/* A request that wants to go on for ever is refused at the end, not run for ever. */
struct echo {
	struct job job;
	int fd;
	char byte;
	int refused;
};

static void echo_done(struct loop_request *request, int result)
{
	struct echo *echo = (struct echo *)job_of(request);

	echo->job.result = result;
	echo->job.completions++;
	echo->refused = loop_read(echo->job.loop, request, echo->fd, &echo->byte, 1);
	if (echo->job.completions == 3)
		loop_stop(echo->job.loop);
}

static void resubmit_until_the_end(void **state)
{
	struct loop *loop = create(8);
	struct echo echo = { 0 };
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(write(pipe_fds[1], "abc", 3), 3);
	job_init(&echo.job, loop, false);
	echo.job.request.done = echo_done;
	echo.fd = pipe_fds[0];
	assert_int_equal(loop_read(loop, &echo.job.request, echo.fd, &echo.byte, 1), 0);
	run_on_thread(loop);
	assert_int_equal(echo.job.completions, 4); /* three bytes and the cancelled fourth */
	assert_int_equal(echo.job.result, -ECANCELED);
	assert_int_equal(echo.refused, -ECANCELED);
	assert_int_equal(echo.byte, 'c');
	loop_destroy(loop);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void cancel_one(void **state)
{
	struct loop *loop = create(8);
	struct job idle, timer;

	(void)state;
	job_init(&idle, loop, true);
	job_init(&timer, loop, false);
	assert_int_equal(loop_cancel(loop, &idle.request), -ENOENT);
	assert_int_equal(loop_timeout(loop, &idle.request, 3600 * NS_PER_SEC), 0);
	assert_int_equal(loop_timeout(loop, &timer.request, 3600 * NS_PER_SEC), 0);
	assert_int_equal(loop_cancel(loop, &idle.request), 0);
	run_on_thread(loop);
	assert_int_equal(idle.result, -ECANCELED);
	assert_int_equal(idle.completions, 1);
	assert_int_equal(timer.result, -ECANCELED); /* by the end, not by the cancellation */
	loop_destroy(loop);
}

static void queue_full_before_run(void **state)
{
	struct loop *loop = create(4);
	struct job jobs[5];
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(jobs); i++)
		job_init(&jobs[i], loop, i == 3);
	for (i = 0; i < 4; i++)
		assert_int_equal(loop_timeout(loop, &jobs[i].request, 0), 0);
	assert_int_equal(loop_timeout(loop, &jobs[4].request, 0), -EAGAIN);
	assert_false(jobs[4].request.pending);
	/* The loop's own wake still finds room. */
	run_on_thread(loop);
	for (i = 0; i < 4; i++)
		assert_int_equal(jobs[i].completions, 1);
	loop_destroy(loop);
}

/* On the loop's thread more can be queued than the ring holds, submission or completion. */
#define MANY 200
struct many {
	struct job starter;
	struct job jobs[MANY];
};

static void start_many(struct loop_request *request, int result)
{
	struct many *many = (struct many *)job_of(request);
	unsigned int i;

	job_done(request, result);
	for (i = 0; i < MANY; i++)
		assert_int_equal(loop_timeout(many->starter.loop, &many->jobs[i].request, 0), 0);
}

static void more_than_the_ring(void **state)
{
	struct loop *loop = create(4);
	struct many many;
	unsigned int i;

	(void)state;
	job_init(&many.starter, loop, false);
	many.starter.request.done = start_many;
	for (i = 0; i < MANY; i++)
		job_init(&many.jobs[i], loop, i == MANY - 1);
	assert_int_equal(loop_timeout(loop, &many.starter.request, 0), 0);
	run_on_thread(loop);
	for (i = 0; i < MANY; i++)
		assert_int_equal(many.jobs[i].completions, 1);
	loop_destroy(loop);
}

/* Threads count up under a plain variable that only on_wake reads: TSan sees whether a wake orders
 * them, the sum whether one was lost. */
#define WAKERS 3
#define WAKES  2000
struct wakers {
	struct loop *loop;
	_Atomic unsigned int posted;
	unsigned int seen, calls;
};

static void on_wake(void *opaque)
{
	struct wakers *wakers = opaque;

	wakers->calls++;
	wakers->seen = atomic_load_explicit(&wakers->posted, memory_order_relaxed);
	if (wakers->seen == WAKERS * WAKES)
		loop_stop(wakers->loop);
}

static void *waker_thread(void *opaque)
{
	struct wakers *wakers = opaque;
	unsigned int i;

	for (i = 0; i < WAKES; i++) {
		atomic_fetch_add_explicit(&wakers->posted, 1, memory_order_relaxed);
		loop_wake(wakers->loop);
	}
	return NULL;
}

static void no_wake_is_lost(void **state)
{
	struct wakers wakers = { .loop = create(8) };
	pthread_t threads[WAKERS];
	unsigned int i;

	(void)state;
	loop_on_wake(wakers.loop, on_wake, &wakers);
	for (i = 0; i < WAKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, waker_thread, &wakers), 0);
	run_on_thread(wakers.loop); /* hangs where one is lost: ctest has a time limit */
	for (i = 0; i < WAKERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wakers.seen, WAKERS * WAKES);
	assert_in_range(wakers.calls, 1, WAKERS * WAKES);
	loop_destroy(wakers.loop);
}

static void count_wake(void *opaque)
{
	++*(unsigned int *)opaque;
}

static void wake_before_stop_before_run(void **state)
{
	struct loop *loop = create(8);
	unsigned int calls = 0;

	(void)state;
	loop_on_wake(loop, count_wake, &calls);
	loop_wake(loop);
	loop_wake(loop);
	loop_stop(loop);
	run_on_thread(loop);
	assert_int_equal(calls, 1);
	loop_destroy(loop);
}

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
		cmocka_unit_test(stop_before_run),
		cmocka_unit_test(destroy_without_run),
		cmocka_unit_test(bad_entries),
		cmocka_unit_test(read_and_write),
		cmocka_unit_test(pending_at_the_end),
		cmocka_unit_test(resubmit_until_the_end),
		cmocka_unit_test(cancel_one),
		cmocka_unit_test(queue_full_before_run),
		cmocka_unit_test(more_than_the_ring),
		cmocka_unit_test(no_wake_is_lost),
		cmocka_unit_test(wake_before_stop_before_run),
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
