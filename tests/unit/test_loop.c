/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop: wakes and stops from any thread, cancellation, full queues, and that every request is
 * completed once. */
#include "tests/unit/loop_fixture.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
