/* SPDX-License-Identifier: Apache-2.0 */
/* loop_fixture: requests that remember how they ended, and a thread to run a loop on. */
#ifndef TESTS_UNIT_LOOP_FIXTURE_H
#define TESTS_UNIT_LOOP_FIXTURE_H

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

static inline struct job *job_of(struct loop_request *request)
{
	return (struct job *)((char *)request - offsetof(struct job, request));
}

static inline void job_done(struct loop_request *request, int result)
{
	struct job *job = job_of(request);

	assert_false(request->pending);
	job->result = result;
	job->completions++;
	if (job->stop)
		loop_stop(job->loop);
}

static inline void job_init(struct job *job, struct loop *loop, bool stop)
{
	memset(job, 0, sizeof(*job));
	job->request.done = job_done;
	job->loop = loop;
	job->result = RESULT_NONE;
	job->stop = stop;
}

static inline struct loop *create(unsigned int entries)
{
	struct error error = { 0 };
	struct loop *loop = NULL;

	if (loop_create(&loop, entries, &error))
		fail_msg("%s", error.text);
	return loop;
}

static inline void *run_thread(void *opaque)
{
	return (void *)(intptr_t)loop_run(opaque);
}

static inline void run_on_thread(struct loop *loop)
{
	pthread_t thread;
	void *rc;

	assert_int_equal(pthread_create(&thread, NULL, run_thread, loop), 0);
	assert_int_equal(pthread_join(thread, &rc), 0);
	assert_int_equal((intptr_t)rc, 0);
}

#endif
