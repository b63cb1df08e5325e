/* SPDX-License-Identifier: Apache-2.0 */
/* loop: the I/O thread's only wait, one io_uring. The one place that includes liburing. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <linux/time_types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

struct loop;

/*
 * A request belongs to the loop from submit to completion: the memory that holds it stays put until
 * done() ran. done() runs on the loop's thread, with the CQE's result: bytes, poll events, -ETIME
 * for a timeout that ran out, -ECANCELED after loop_cancel or at the end of loop_run, or another
 * negative errno. It may submit the request again or free it.
 */
struct loop_request {
	void (*done)(struct loop_request *request, int result);
	bool pending;                     /* owned by the loop; written on its thread only */
	struct __kernel_timespec timeout; /* owned by the loop */
};

/* entries: how many requests may be queued between two waits (a power of two). Fails with -ENOSYS,
 * -EPERM where the host forbids io_uring. */
int loop_create(struct loop **loop, unsigned int entries, struct error *error);
/* Not while loop_run() runs. Requests queued on a loop that never ran are forgotten, not completed.
 * NULL is fine. */
void loop_destroy(struct loop *loop);

/*
 * Runs until loop_stop(): waits, then completes what is done, in batches of one io_uring_enter.
 * Called once (-EALREADY), on one thread, which becomes the loop's thread. Requests that are still
 * pending at the end are cancelled and completed before it returns. 0 or negative errno.
 */
int loop_run(struct loop *loop);

/*
 * Any thread, async-signal-unsafe, also before loop_run(). loop_wake() makes the loop call on_wake
 * on its thread soon; calls may merge. A wake that came before a stop is served before the end.
 */
void loop_stop(struct loop *loop);
void loop_wake(struct loop *loop);
void loop_on_wake(struct loop *loop, void (*on_wake)(void *opaque),
		  void *opaque); /* before loop_run() */

/*
 * On the loop's thread, or on any thread before loop_run(). 0 or -EAGAIN (the queue is full),
 * -EBUSY (request is pending), -ECANCELED (loop_run is ending). Reads and writes are at the file
 * position. Where the open file has O_NONBLOCK set they may end in -EAGAIN instead of waiting
 * (terminals do): loop_poll first.
 */
int loop_read(struct loop *loop, struct loop_request *request, int fd, void *data, uint32_t bytes);
int loop_write(struct loop *loop, struct loop_request *request, int fd, const void *data,
	       uint32_t bytes);
int loop_poll(struct loop *loop, struct loop_request *request, int fd, uint32_t poll_events);
int loop_timeout(struct loop *loop, struct loop_request *request, uint64_t ns);

/* At offset, not the file position. iov and its buffers stay put until done(). */
int loop_readv(struct loop *loop, struct loop_request *request, int fd, const struct iovec *iov,
	       uint32_t count, uint64_t offset);
int loop_writev(struct loop *loop, struct loop_request *request, int fd, const struct iovec *iov,
		uint32_t count, uint64_t offset);
/* As fdatasync() and fallocate(). */
int loop_fdatasync(struct loop *loop, struct loop_request *request, int fd);
int loop_fallocate(struct loop *loop, struct loop_request *request, int fd, int mode,
		   uint64_t offset, uint64_t bytes);

/*
 * Before loop_run(): requests on fd spare the kernel the look-up and the reference. fd stays open,
 * and stays the same file, until loop_destroy(); the kernel lets go of the file some time after
 * that, so it is not for one whose closing somebody waits for (a lock). Up to LOOP_FILES, more are
 * simply not registered.
 */
#define LOOP_FILES 16
void loop_register_file(struct loop *loop, int fd);

/*
 * Before loop_run(): memory that transfers on registered files use again and again. Where a piece
 * of it is used often enough it is registered too (base/buffers.h), which pins its pages until
 * loop_run() ends. It stays mapped until then, and to the same pages: a transfer goes to those that
 * were registered, not to what came in their place. How much may be pinned is limited by
 * RLIMIT_MEMLOCK, which is no error.
 */
void loop_add_memory(struct loop *loop, void *base, uint64_t bytes);

/*
 * Watches a descriptor that becomes readable again and again (an eventfd): done() runs with the
 * poll events after each time it was signalled, once for several that came together. Nothing needs
 * to read it. The request stays pending until loop_cancel() or an error; where done() finds pending
 * false, the watch is over (with a result that is no error: start it again).
 */
int loop_watch(struct loop *loop, struct loop_request *request, int fd);

/*
 * Runs a task once all that completed together was told to its done(), and before the loop waits
 * again: for work that is better done once for many. On the loop's thread. A task that is queued
 * already stays so; one that runs may queue others, not itself.
 */
struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop_task *next; /* owned by the loop while queued */
	bool queued;
};
void loop_defer(struct loop *loop, struct loop_task *task);

/* clock_ns(), read at most once between two waits. On the loop's thread. */
uint64_t loop_now_ns(struct loop *loop);

/* Asks for an early end; done() runs in any case, with -ECANCELED or with a result that was faster.
 * -ENOENT where request is not pending. */
int loop_cancel(struct loop *loop, struct loop_request *request);

#endif
