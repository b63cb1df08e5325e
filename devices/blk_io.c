/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io: how a block device's data moves: at once, or through the loop's ring. */
#include "devices/blk_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"

/* A try that takes longer than this, and a nanosecond for each byte, has waited: for the page cache
 * to take something in (rare, and long), or for a device, which a memory-like one never makes us.
 */
#define SLOW_NS            500000
#define SLOW_DIRECT_NS     20000
#define PENALTY_FIRST      8
#define PENALTY_MAX        1024 /* where a try waits; where it only fails: */
#define PENALTY_MAX_NOWAIT 64
#define TIMED_ONE_IN       8
#define TRY_BYTES_MAX      (1u << 20) /* more than that would keep others waiting */

_Static_assert(BLK_QUEUES_MAX <= 64, "one word of bits names all queues");

static bool is_write(const struct blk_op *op)
{
	return op->type == VIRTIO_BLK_T_OUT;
}

static const char *type_name(uint32_t type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return "read";
	case VIRTIO_BLK_T_OUT:
		return "write";
	case VIRTIO_BLK_T_FLUSH:
		return "flush";
	default:
		return "discard";
	}
}

static void record_latency(struct blk *blk, uint64_t ns)
{
	uint64_t us = ns / 1000;
	unsigned int bucket = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

	virtio_count(&blk->stats.latency[num_min(bucket, BLK_LATENCIES - 1)], 1);
}

/* The host's trouble, not the guest's: said once for each kind. */
static int report(struct blk *blk, const struct blk_op *op, int error)
{
	if (blk->reported != error)
		log_limited(blk->virtio.log, &blk->virtio.log_limit, LOG_LEVEL_ERROR,
			    "disk: %s at byte %llu failed: %s", type_name(op->type),
			    (unsigned long long)op->offset,
			    error == ENODATA ? "the image ends before" : error_name(error));
	blk->reported = error;
	return VIRTIO_BLK_S_IOERR;
}

/* ---- At once ---- */

static void penalise(struct blk_pace *pace, uint32_t max)
{
	pace->penalty = (uint32_t)num_min(num_max((uint64_t)pace->penalty * 2, PENALTY_FIRST), max);
	pace->ring_left = pace->penalty;
	pace->count = 0; /* the next try is timed */
}

static void reward(struct blk_pace *pace)
{
	pace->penalty /= 2;
}

static ssize_t try_nowait(const struct blk_op *op)
{
	if (is_write(op))
		return pwritev2(op->fd, op->iov, (int)op->iov_count, (off_t)op->offset, RWF_NOWAIT);
	return preadv2(op->fd, op->iov, (int)op->iov_count, (off_t)op->offset, RWF_NOWAIT);
}

/* One buffer, the usual case, spares the kernel the copy of a vector. */
static ssize_t try_anyhow(const struct blk_op *op)
{
	const struct iovec *iov = op->iov;

	if (is_write(op))
		return op->iov_count == 1
			       ? pwrite(op->fd, iov->iov_base, iov->iov_len, (off_t)op->offset)
			       : pwritev(op->fd, iov, (int)op->iov_count, (off_t)op->offset);
	return op->iov_count == 1 ? pread(op->fd, iov->iov_base, iov->iov_len, (off_t)op->offset)
				  : preadv(op->fd, iov, (int)op->iov_count, (off_t)op->offset);
}

/*
 * Moves what can be moved without waiting: bytes, or -EAGAIN where that is none, or another errno.
 * RWF_NOWAIT does not start what would wait for memory or locks; but a file may not know it, and
 * past the page cache it still waits for the device, which is all that a block device without a
 * file system waits for. So the clock tells whether a try waited. One in eight is timed: the clock
 * has its price too.
 */
static ssize_t try_at_once(struct blk *blk, struct blk_op *op)
{
	struct blk_pace *pace = &blk->pace[is_write(op)];
	bool direct = op->fd == blk->image.direct_fd;
	bool nowait = !pace->no_nowait && !(direct && blk->image.block_device);
	bool timed = pace->count++ % TIMED_ONE_IN == 0;
	uint64_t begun_ns = timed ? clock_ns() : 0, ns = 0;
	ssize_t result = -1;

	if (nowait) {
		result = try_nowait(op);
		if (result < 0 && (errno == EOPNOTSUPP || errno == EINVAL)) {
			pace->no_nowait = true;
			nowait = false;
		}
	}
	if (!nowait)
		result = try_anyhow(op);
	if (result < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		penalise(pace, PENALTY_MAX_NOWAIT);
		return -EAGAIN;
	}
	if (timed) {
		ns = clock_ns() - begun_ns;
		record_latency(blk, ns);
	}
	if (ns > (direct ? SLOW_DIRECT_NS : SLOW_NS) + op->bytes)
		penalise(pace, PENALTY_MAX);
	else if (timed || (nowait && !direct))
		reward(pace);
	return result;
}

/*
 * Past the page cache a request that is not alone goes to the ring: together they take one system
 * call, and with registered buffers no look-up of their pages (RAM disk, 32 at a time: 2.9 k
 * instructions each instead of 3.8 k).
 */
static bool should_try(struct blk *blk, const struct blk_op *op)
{
	struct blk_pace *pace = &blk->pace[is_write(op)];

	if (op->bytes > TRY_BYTES_MAX)
		return false;
	if (op->fd == blk->image.direct_fd &&
	    (blk->in_ring || virtq_more(virtio_queue(&blk->virtio, op->queue))))
		return false;
	if (!pace->ring_left)
		return true;
	pace->ring_left--;
	return false;
}

/* Cuts off what is done. */
static void advance(struct blk_op *op, uint32_t bytes)
{
	op->done += bytes;
	op->offset += bytes;
	while (op->iov_count && op->iov->iov_len <= bytes) {
		bytes -= (uint32_t)op->iov->iov_len;
		op->iov++;
		op->iov_count--;
	}
	if (op->iov_count) {
		op->iov->iov_base = (uint8_t *)op->iov->iov_base + bytes;
		op->iov->iov_len -= bytes;
	}
}

int blk_io_transfer(struct blk *blk, struct blk_op *op)
{
	ssize_t result;

	op->fd = image_fd_for(&blk->image, op->iov, op->iov_count, op->offset);
	if (should_try(blk, op)) {
		result = try_at_once(blk, op);
		if (result < 0 && result != -EAGAIN)
			return report(blk, op, (int)-result);
		if (result == (ssize_t)op->bytes) {
			virtio_count(&blk->stats.at_once, 1);
			return VIRTIO_BLK_S_OK;
		}
		if (result == 0)
			return report(blk, op, ENODATA);
		if (result > 0)
			advance(op, (uint32_t)result);
	}
	return blk_io_queue(blk, op);
}

/* ---- Through the ring ---- */

static void give_back(struct blk_request *request)
{
	struct blk *blk = request->blk;

	request->next = blk->free;
	blk->free = request;
	blk->in_ring--;
	virtio_release(&blk->virtio);
}

/* Zeroes where the file cannot make them itself: one page of them, as often as it takes. These are
 * written like any data, so the limit is for them too. */
static int submit_zeroes(struct blk_request *request)
{
	struct blk *blk = request->blk;
	uint64_t left = request->op.bytes - request->op.done;
	uint32_t count = 0;

	limit_take(&blk->byte_limit, num_min(left, BLK_ZEROES_BYTES * ARRAY_SIZE(request->iov)));
	while (left && count < ARRAY_SIZE(request->iov)) {
		uint64_t piece = num_min(left, BLK_ZEROES_BYTES);

		request->iov[count++] = (struct iovec){ .iov_base = blk->zeroes, .iov_len = piece };
		left -= piece;
	}
	request->op.iov_count = 0; /* they are not the guest's */
	return loop_writev(blk->loop, &request->loop, blk->image.fd, request->iov, count,
			   request->op.offset);
}

static int submit_clear(struct blk_request *request)
{
	const struct blk_op *op = &request->op;
	int mode = op->unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	if (request->zero_by_hand)
		return submit_zeroes(request);
	return loop_fallocate(request->blk->loop, &request->loop, request->blk->image.fd,
			      mode | FALLOC_FL_KEEP_SIZE, op->offset, op->bytes);
}

static int submit(struct blk_request *request)
{
	struct blk *blk = request->blk;
	const struct blk_op *op = &request->op;
	int fd;

	switch (op->type) {
	case VIRTIO_BLK_T_FLUSH:
		return loop_fdatasync(blk->loop, &request->loop, blk->image.fd);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return submit_clear(request);
	default:
		/* A rest may begin where the straight way cannot. */
		fd = op->done ? image_fd_for(&blk->image, op->iov, op->iov_count, op->offset)
			      : op->fd;
		return is_write(op) ? loop_writev(blk->loop, &request->loop, fd, op->iov,
						  op->iov_count, op->offset)
				    : loop_readv(blk->loop, &request->loop, fd, op->iov,
						 op->iov_count, op->offset);
	}
}

/* Result of a fallocate(): BLK_IN_RING where it was submitted in another form. */
static int cleared(struct blk_request *request, int result)
{
	if (result == 0)
		return VIRTIO_BLK_S_OK;
	if (result != -EOPNOTSUPP && result != -EINVAL)
		return report(request->blk, &request->op, -result);
	if (request->op.type == VIRTIO_BLK_T_DISCARD)
		return VIRTIO_BLK_S_OK; /* a hint, and nobody to take it */
	if (request->op.unmap) {
		request->op.unmap = false; /* without a hole, then */
	} else {
		request->zero_by_hand = true;
	}
	return submit(request) ? VIRTIO_BLK_S_IOERR : BLK_IN_RING;
}

/* Result of a read or write: BLK_IN_RING where a rest was submitted. */
static int transferred(struct blk_request *request, int result)
{
	struct blk_op *op = &request->op;

	if (result < 0 && result != -EINTR)
		return report(request->blk, op, -result);
	if (result == 0)
		return report(request->blk, op, ENODATA);
	if (result > 0)
		advance(op, (uint32_t)num_min((uint64_t)result, op->bytes - op->done));
	if (op->done == op->bytes)
		return VIRTIO_BLK_S_OK;
	return submit(request) ? VIRTIO_BLK_S_IOERR : BLK_IN_RING;
}

static int judge(struct blk_request *request, int result)
{
	switch (request->op.type) {
	case VIRTIO_BLK_T_FLUSH:
		return result ? report(request->blk, &request->op, -result) : VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		if (!request->zero_by_hand)
			return cleared(request, result);
		return transferred(request, result);
	default:
		return transferred(request, result);
	}
}

/* Interrupts, and queues that waited for a free request: once for all that completed together. */
static void after_batch(struct loop_task *task)
{
	struct blk *blk = (struct blk *)((char *)task - offsetof(struct blk, after_batch));
	uint64_t finished;

	pthread_mutex_lock(blk->virtio.lock);
	finished = blk->finished;
	blk->finished = 0;
	for (unsigned int i = 0; i < blk->virtio.queue_count; i++) {
		if (finished >> i & 1)
			virtio_interrupt(&blk->virtio, i);
	}
	if (blk->starved)
		blk_look_again(blk);
	blk->starved = false;
	pthread_mutex_unlock(blk->virtio.lock);
}

/* A request from before a reset is nobody's any more, nor is one that the end of the loop cut off:
 * no result, no interrupt, and no second half. */
static void request_done(struct loop_request *loop_request, int result)
{
	struct blk_request *request = (struct blk_request *)loop_request;
	struct blk *blk = request->blk;
	int status;

	pthread_mutex_lock(blk->virtio.lock);
	if (result == -ECANCELED || request->epoch != blk->virtio.epoch) {
		give_back(request);
	} else {
		status = judge(request, result);
		if (status != BLK_IN_RING) {
			record_latency(blk, loop_now_ns(blk->loop) - request->begun_ns);
			blk_finish(blk, &request->op, status);
			blk->finished |= UINT64_C(1) << request->op.queue;
			give_back(request);
		}
	}
	loop_defer(blk->loop, &blk->after_batch);
	pthread_mutex_unlock(blk->virtio.lock);
}

/* Those that were never used are pages that were never touched. */
static struct blk_request *take_free(struct blk *blk)
{
	struct blk_request *request = blk->free;

	blk->in_ring++;
	if (request) {
		blk->free = request->next;
		return request;
	}
	request = &blk->requests[blk->used++];
	request->loop.done = request_done;
	request->blk = blk;
	return request;
}

bool blk_io_room(const struct blk *blk)
{
	return blk->free || blk->used < BLK_REQUESTS;
}

int blk_io_queue(struct blk *blk, const struct blk_op *op)
{
	struct blk_request *request = take_free(blk);

	request->op = *op;
	request->op.iov = request->iov;
	memcpy(request->iov, op->iov, op->iov_count * sizeof(*op->iov));
	request->epoch = blk->virtio.epoch;
	request->zero_by_hand = false;
	request->begun_ns = loop_now_ns(blk->loop);
	virtio_hold(&blk->virtio);
	if (submit(request)) {
		give_back(request);
		return VIRTIO_BLK_S_IOERR;
	}
	virtio_count(&blk->stats.queued, 1);
	return BLK_IN_RING;
}

int blk_io_init(struct blk *blk)
{
	blk->requests = calloc(BLK_REQUESTS, sizeof(*blk->requests));
	blk->zeroes = calloc(1, BLK_ZEROES_BYTES);
	if (!blk->requests || !blk->zeroes)
		return -ENOMEM;
	blk->after_batch.run = after_batch;
	return 0;
}
