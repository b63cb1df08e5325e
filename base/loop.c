/* SPDX-License-Identifier: Apache-2.0 */
/* loop: the I/O thread's only wait, one io_uring. */
#include "base/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buffers.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "base/ring.h"

#define DRAIN_WAIT_NS 10000000

/*
 * Owner: whoever called loop_create(). All of it belongs to the loop's thread once that runs,
 * except woken, stopped and wake_fd, which any thread may use.
 */
struct loop {
	struct io_uring ring;
	int wake_fd;
	uint64_t wake_count; /* where the kernel puts what it reads from wake_fd */
	struct loop_request wake;
	struct loop_request cancel_all;
	uint32_t in_flight;    /* requests with pending set, these two included */
	bool ran;              /* loop_run() was called: we are on its thread */
	bool ending;           /* nothing new is taken */
	uint64_t now_ns;       /* 0: not read since the last wait */
	int files[LOOP_FILES]; /* those registered with the ring, by their index there */
	unsigned int file_count;
	struct buffers buffers; /* memory that is worth being registered with the ring */
	bool no_more_buffers;
	struct loop_task *tasks; /* in the order they were queued */
	struct loop_task **tasks_end;
	_Atomic bool woken;
	_Atomic bool stopped;
	void (*on_wake)(void *opaque);
	void *opaque;
};

/* ---- Queueing ---- */

/* On the loop's thread a full queue is handed to the kernel, which makes room; before there is no
 * such thread yet. */
static struct io_uring_sqe *get_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (sqe || !loop->ran)
		return sqe;
	io_uring_submit(&loop->ring);
	return io_uring_get_sqe(&loop->ring);
}

static int begin(struct loop *loop, struct loop_request *request, struct io_uring_sqe **sqe)
{
	if (request->pending)
		return -EBUSY;
	if (loop->ending)
		return -ECANCELED;
	*sqe = get_sqe(loop);
	return *sqe ? 0 : -EAGAIN;
}

/* Only once the loop runs: before, the ring does not know them. */
static void use_registered_file(const struct loop *loop, struct io_uring_sqe *sqe)
{
	for (unsigned int i = 0; loop->ran && i < loop->file_count; i++) {
		if (loop->files[i] != sqe->fd)
			continue;
		sqe->fd = (int)i;
		sqe->flags |= IOSQE_FIXED_FILE;
		return;
	}
}

static bool register_piece(struct loop *loop, int piece, const struct iovec *memory)
{
	struct io_uring_rsrc_update2 update = {
		.offset = (uint32_t)piece,
		.data = (uintptr_t)memory,
		.nr = 1,
	};

	if (ring_register(&loop->ring, IORING_REGISTER_BUFFERS_UPDATE, &update, sizeof(update)) ==
	    1) {
		buffers_registered(&loop->buffers, piece);
		return true;
	}
	/* No more memory may be locked, most likely: leave it at what there is. */
	loop->no_more_buffers = true;
	return false;
}

/* A transfer of one buffer that the ring knows needs no look-up of its pages. */
static void use_registered_buffer(struct loop *loop, struct io_uring_sqe *sqe,
				  const struct iovec *iov)
{
	struct iovec due;
	int piece;

	piece = buffers_use(&loop->buffers, iov->iov_base, iov->iov_len, &due);
	if (piece < 0 ||
	    (due.iov_len && (loop->no_more_buffers || !register_piece(loop, piece, &due))))
		return;
	sqe->opcode = sqe->opcode == IORING_OP_READV ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
	sqe->addr = (uintptr_t)iov->iov_base;
	sqe->len = (uint32_t)iov->iov_len;
	sqe->buf_index = (uint16_t)piece;
}

/* The last step: the request is the loop's now. */
static void commit(struct loop *loop, struct loop_request *request, struct io_uring_sqe *sqe)
{
	use_registered_file(loop, sqe);
	io_uring_sqe_set_data(sqe, request);
	request->pending = true;
	loop->in_flight++;
}

int loop_read(struct loop *loop, struct loop_request *request, int fd, void *data, uint32_t bytes)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	io_uring_prep_read(sqe, fd, data, bytes, (uint64_t)-1);
	commit(loop, request, sqe);
	return 0;
}

int loop_write(struct loop *loop, struct loop_request *request, int fd, const void *data,
	       uint32_t bytes)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	io_uring_prep_write(sqe, fd, data, bytes, (uint64_t)-1);
	commit(loop, request, sqe);
	return 0;
}

/* opcode: IORING_OP_READV or IORING_OP_WRITEV. */
static int transfer(struct loop *loop, struct loop_request *request, int opcode, int fd,
		    const struct iovec *iov, uint32_t count, uint64_t offset)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	io_uring_prep_rw(opcode, sqe, fd, iov, count, offset);
	commit(loop, request, sqe);
	if ((sqe->flags & IOSQE_FIXED_FILE) && count == 1)
		use_registered_buffer(loop, sqe, iov);
	return 0;
}

int loop_readv(struct loop *loop, struct loop_request *request, int fd, const struct iovec *iov,
	       uint32_t count, uint64_t offset)
{
	return transfer(loop, request, IORING_OP_READV, fd, iov, count, offset);
}

int loop_writev(struct loop *loop, struct loop_request *request, int fd, const struct iovec *iov,
		uint32_t count, uint64_t offset)
{
	return transfer(loop, request, IORING_OP_WRITEV, fd, iov, count, offset);
}

int loop_fdatasync(struct loop *loop, struct loop_request *request, int fd)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	commit(loop, request, sqe);
	return 0;
}

int loop_fallocate(struct loop *loop, struct loop_request *request, int fd, int mode,
		   uint64_t offset, uint64_t bytes)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset, (off_t)bytes);
	commit(loop, request, sqe);
	return 0;
}

int loop_watch(struct loop *loop, struct loop_request *request, int fd)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	/* Edge-triggered: each signal is one more event, whether or not the last was read. */
	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	commit(loop, request, sqe);
	return 0;
}

int loop_poll(struct loop *loop, struct loop_request *request, int fd, uint32_t poll_events)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	io_uring_prep_poll_add(sqe, fd, poll_events);
	commit(loop, request, sqe);
	return 0;
}

int loop_timeout(struct loop *loop, struct loop_request *request, uint64_t ns)
{
	struct io_uring_sqe *sqe;
	int rc = begin(loop, request, &sqe);

	if (rc)
		return rc;
	/* The kernel reads it when the queue is submitted, which is later. */
	request->timeout.tv_sec = (int64_t)(ns / NS_PER_SEC);
	request->timeout.tv_nsec = (long long)(ns % NS_PER_SEC);
	io_uring_prep_timeout(sqe, &request->timeout, 0, 0);
	commit(loop, request, sqe);
	return 0;
}

int loop_cancel(struct loop *loop, struct loop_request *request)
{
	struct io_uring_sqe *sqe;

	if (!request->pending)
		return -ENOENT;
	sqe = get_sqe(loop);
	if (!sqe)
		return -EAGAIN;
	/* Found by its address. The queue keeps its order, so that a later request at the same
	 * address cannot be meant. The cancellation's own completion has no request. */
	io_uring_prep_cancel64(sqe, (uintptr_t)request, 0);
	io_uring_sqe_set_data(sqe, NULL);
	return 0;
}

/* ---- Waking ---- */

static void ring_the_bell(struct loop *loop)
{
	uint64_t one = 1;

	/* Cannot fail: it would take 2^64 - 2 unread wakes. */
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopped, true);
	ring_the_bell(loop);
}

void loop_wake(struct loop *loop)
{
	/* Pairs with the exchange in take_wake(): who finds it set already is seen by the same
	 * on_wake. */
	if (!atomic_exchange(&loop->woken, true))
		ring_the_bell(loop);
}

void loop_on_wake(struct loop *loop, void (*on_wake)(void *opaque), void *opaque)
{
	loop->on_wake = on_wake;
	loop->opaque = opaque;
}

static void take_wake(struct loop *loop)
{
	if (atomic_exchange(&loop->woken, false) && loop->on_wake)
		loop->on_wake(loop->opaque);
}

static int arm_wake(struct loop *loop)
{
	return loop_read(loop, &loop->wake, loop->wake_fd, &loop->wake_count,
			 sizeof(loop->wake_count));
}

static void wake_done(struct loop_request *request, int result)
{
	struct loop *loop = (struct loop *)((char *)request - offsetof(struct loop, wake));

	(void)result;
	if (loop->ending)
		return;
	/* Armed first: on_wake may fill the queue. Where the kernel has no memory even for that,
	 * the loop could not be reached any more: it ends. */
	if (arm_wake(loop))
		atomic_store(&loop->stopped, true);
	take_wake(loop);
}

static void cancel_all_done(struct loop_request *request, int result)
{
	(void)request;
	(void)result;
}

/* ---- Running ---- */

void loop_register_file(struct loop *loop, int fd)
{
	if (loop->file_count < ARRAY_SIZE(loop->files))
		loop->files[loop->file_count++] = fd;
}

/* Not having them is no error: requests then name their descriptors. */
static void register_files(struct loop *loop)
{
	if (loop->file_count &&
	    ring_register(&loop->ring, IORING_REGISTER_FILES, loop->files, loop->file_count))
		loop->file_count = 0;
}

void loop_add_memory(struct loop *loop, void *base, uint64_t bytes)
{
	buffers_add(&loop->buffers, base, bytes);
}

/* A table with nothing in it, so that pieces can be registered while requests are on their way. */
static void register_buffers(struct loop *loop)
{
	struct io_uring_rsrc_register table = { .flags = IORING_RSRC_REGISTER_SPARSE };

	if (!buffers_prepare(&loop->buffers))
		return;
	table.nr = loop->buffers.count;
	if (ring_register(&loop->ring, IORING_REGISTER_BUFFERS2, &table, sizeof(table)))
		buffers_fini(&loop->buffers);
}

/* Here and not with the ring, whose end the kernel puts off: who waits for the memory's pages gets
 * them when the memory is unmapped. */
static void unregister_buffers(struct loop *loop)
{
	if (loop->buffers.uses)
		ring_register(&loop->ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
	buffers_fini(&loop->buffers);
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

uint64_t loop_now_ns(struct loop *loop)
{
	if (!loop->now_ns)
		loop->now_ns = clock_ns();
	return loop->now_ns;
}

/* Until none is queued, those that tasks queue included. */
static void run_tasks(struct loop *loop)
{
	struct loop_task *task;

	while ((task = loop->tasks)) {
		loop->tasks = task->next;
		if (!loop->tasks)
			loop->tasks_end = &loop->tasks;
		task->queued = false;
		task->run(task);
	}
}

/* Completes what was there when it was called: what completes meanwhile has its turn after the next
 * look at stopped. */
static void complete_batch(struct loop *loop)
{
	unsigned int count = io_uring_cq_ready(&loop->ring);
	struct loop_request *request;
	struct io_uring_cqe *cqe;
	int result;
	bool more;

	loop->now_ns = 0;
	while (count-- && io_uring_peek_cqe(&loop->ring, &cqe) == 0) {
		request = io_uring_cqe_get_data(cqe);
		result = cqe->res;
		more = cqe->flags & IORING_CQE_F_MORE; /* of a watch, which goes on */
		io_uring_cqe_seen(&loop->ring, cqe);
		if (!request)
			continue;
		if (!more) {
			request->pending = false;
			loop->in_flight--;
		}
		request->done(request, result);
	}
	run_tasks(loop);
}

/* Not errors: a signal came, or the kernel asks to complete some requests first. */
static bool is_passing(int rc)
{
	return rc == -EINTR || rc == -EAGAIN || rc == -EBUSY || rc == -ETIME;
}

/*
 * Cancels until nothing is pending. What a worker of the kernel is busy with ends by itself, and a
 * request may be between two states and be missed: hence rounds, with a wait between them.
 */
static int drain(struct loop *loop)
{
	struct __kernel_timespec wait = { .tv_nsec = DRAIN_WAIT_NS };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	bool cancel = true;
	int rc;

	loop->ending = true;
	while (loop->in_flight) {
		sqe = cancel && !loop->cancel_all.pending ? get_sqe(loop) : NULL;
		if (sqe) {
			io_uring_prep_cancel64(sqe, 0,
					       IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
			commit(loop, &loop->cancel_all, sqe);
		}
		cancel = !cancel;
		rc = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &wait, NULL);
		if (rc < 0 && !is_passing(rc))
			return rc;
		complete_batch(loop);
	}
	return 0;
}

int loop_run(struct loop *loop)
{
	int rc, drain_rc;
	bool registered;

	if (loop->ran)
		return -EALREADY;
	register_files(loop);
	register_buffers(loop);
	rc = ring_register(&loop->ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (rc)
		return rc;
	loop->ran = true;
	/* Spares each wait the look-up of the ring's descriptor; not having it is no error. */
	registered = io_uring_register_ring_fd(&loop->ring) == 1;

	rc = arm_wake(loop);
	while (!rc && !atomic_load(&loop->stopped)) {
		rc = io_uring_submit_and_wait(&loop->ring, 1);
		rc = rc < 0 && !is_passing(rc) ? rc : 0;
		complete_batch(loop);
	}
	/* A wake before the stop is not lost. */
	take_wake(loop);
	drain_rc = drain(loop);
	unregister_buffers(loop);
	if (registered)
		io_uring_unregister_ring_fd(&loop->ring);
	return rc ? rc : drain_rc;
}

/* ---- Creating ---- */

static int setup_error(int rc, struct error *error)
{
	switch (-rc) {
	case EPERM:
	case EACCES:
		return error_set(
			error, -rc,
			"io_uring is forbidden here: allow it with sysctl "
			"kernel.io_uring_disabled=0 or in the container's seccomp profile");
	case ENOSYS:
		return error_set(error, -rc,
				 "there is no io_uring here: the kernel lacks CONFIG_IO_URING or a "
				 "seccomp profile hides it");
	default:
		return error_set(error, -rc, "cannot set up io_uring: %s", error_name(-rc));
	}
}

int loop_create(struct loop **loop, unsigned int entries, struct error *error)
{
	struct loop *created = calloc(1, sizeof(*created));
	int rc;

	if (!created)
		return error_set(error, ENOMEM, "cannot create the I/O loop: %s",
				 error_name(ENOMEM));
	created->ring.ring_fd = -1;
	created->tasks_end = &created->tasks;
	created->wake.done = wake_done;
	created->cancel_all.done = cancel_all_done;
	created->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (created->wake_fd < 0) {
		rc = error_set(error, errno, "cannot create an event descriptor: %s",
			       error_name(errno));
		goto fail;
	}
	rc = ring_setup(&created->ring, entries);
	if (rc) {
		created->ring.ring_fd = -1;
		rc = setup_error(rc, error);
		goto fail;
	}
	rc = ring_restrict(&created->ring);
	if (rc) {
		rc = setup_error(rc, error);
		goto fail;
	}
	*loop = created;
	return 0;
fail:
	loop_destroy(created);
	return rc;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->ring.ring_fd >= 0)
		io_uring_queue_exit(&loop->ring);
	fd_close(&loop->wake_fd);
	buffers_fini(&loop->buffers);
	free(loop);
}
