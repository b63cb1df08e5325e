/* SPDX-License-Identifier: Apache-2.0 */
/* blk: a virtio block device (virtio 1.3 section 5.2) on a raw image: requests as the driver makes
 * them. How the data moves is blk_io's. */
#include "devices/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "devices/blk_io.h"

#define QUEUE_SIZE           VIRTQ_SIZE_MAX
/* A header and a status byte have descriptors of their own, or share one. */
#define SEGMENTS_MAX         (QUEUE_SIZE - 2)
#define ZEROES_SECTORS_MAX   (UINT32_C(1) << 22) /* 2 GiB */
#define SECTOR_SHIFT         9
#define PHYSICAL_BLOCK_BYTES 4096
/* A turn is a queue's size in requests, or in so many bytes each: what waits for the lock or for
 * the loop meanwhile is another disk, or a vCPU. */
#define TURN_BYTES           65536

/* ---- What the driver reads ---- */

static void write_config(struct blk *blk, uint16_t queue_count)
{
	struct virtio_blk_config config = {
		.capacity = htole64(blk->image.bytes >> SECTOR_SHIFT),
		.seg_max = htole32(SEGMENTS_MAX),
		.blk_size = htole32(blk->image.block_bytes),
		.min_io_size = htole16(1),
		.num_queues = htole16(queue_count),
		.max_discard_sectors = htole32(ZEROES_SECTORS_MAX),
		.max_discard_seg = htole32(1),
		/* What is smaller the host could only overwrite. */
		.discard_sector_alignment = htole32(PHYSICAL_BLOCK_BYTES >> SECTOR_SHIFT),
		.max_write_zeroes_sectors = htole32(ZEROES_SECTORS_MAX),
		.max_write_zeroes_seg = htole32(1),
		.write_zeroes_may_unmap = 1,
	};

	while (blk->image.block_bytes << config.physical_block_exp < PHYSICAL_BLOCK_BYTES)
		config.physical_block_exp++;
	memcpy(blk->virtio.config, &config, sizeof(config));
}

static uint64_t features(const struct blk_config *config)
{
	uint64_t features = 0;

	if (config->queue_count > 1)
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_MQ);
	if (config->image.read_only)
		return features | VIRTIO_FEATURE(VIRTIO_BLK_F_RO);
	return features | VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH) |
	       VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) | VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
}

/* ---- One request (5.2.6) ---- */

/* Cuts bytes off the front of a vector that holds at least as many. */
static void cut_front(struct blk_op *op, uint32_t bytes)
{
	while (bytes && op->iov_count && op->iov->iov_len <= bytes) {
		bytes -= (uint32_t)op->iov->iov_len;
		op->iov++;
		op->iov_count--;
	}
	if (bytes) {
		op->iov->iov_base = (uint8_t *)op->iov->iov_base + bytes;
		op->iov->iov_len -= bytes;
	}
}

/*
 * Takes a chain apart: header, data, status byte, in any number of buffers (2.7.4.4). False where
 * it has no header or no place for the status: nothing can be answered.
 */
static bool parse(struct blk *blk, unsigned int queue, struct blk_op *op)
{
	struct virtq_chain *chain = &blk->chain;
	struct virtio_blk_outhdr header;
	struct iovec *last = &chain->iov[chain->readable + chain->writable - 1];

	if (!chain->writable_bytes ||
	    virtq_read(chain, 0, &header, sizeof(header)) != sizeof(header))
		return false;
	*op = (struct blk_op){
		.queue = queue,
		.head = chain->head,
		.type = le32toh(header.type),
		.status = (uint8_t *)last->iov_base + last->iov_len - 1,
	};
	blk->sector = le64toh(header.sector);
	if (op->type == VIRTIO_BLK_T_OUT) {
		op->iov = chain->iov;
		op->iov_count = chain->readable;
		op->bytes = chain->readable_bytes - (uint32_t)sizeof(header);
		cut_front(op, sizeof(header));
	} else {
		op->iov = chain->iov + chain->readable;
		op->iov_count = chain->writable;
		op->bytes = chain->writable_bytes - 1;
		if (--last->iov_len == 0)
			op->iov_count--;
	}
	return true;
}

/* Sector and length from the driver, as an offset into the image that bytes fit behind. */
static bool locate(const struct blk *blk, uint64_t sector, uint64_t bytes, uint64_t *offset)
{
	return num_mul(sector, IMAGE_SECTOR_BYTES, offset) && bytes % IMAGE_SECTOR_BYTES == 0 &&
	       num_within(*offset, bytes, blk->image.bytes);
}

static int transfer(struct blk *blk, struct blk_op *op)
{
	bool write = op->type == VIRTIO_BLK_T_OUT;

	if ((write && blk->image.read_only) || !locate(blk, blk->sector, op->bytes, &op->offset))
		return VIRTIO_BLK_S_IOERR;
	virtio_count(write ? &blk->stats.writes : &blk->stats.reads, 1);
	virtio_count(write ? &blk->stats.written_bytes : &blk->stats.read_bytes, op->bytes);
	limit_take(&blk->byte_limit, op->bytes);
	return op->bytes ? blk_io_transfer(blk, op) : VIRTIO_BLK_S_OK;
}

/* What was written is in the page cache, which outlives stet; it is the medium's turn now. */
static int flush(struct blk *blk, struct blk_op *op)
{
	virtio_count(&blk->stats.flushes, 1);
	if (blk->image.read_only || blk->image.in_memory)
		return VIRTIO_BLK_S_OK;
	return blk_io_queue(blk, op);
}

static int get_id(struct blk *blk, struct blk_op *op)
{
	virtio_count(&blk->stats.others, 1);
	if (op->bytes < VIRTIO_BLK_ID_BYTES)
		return VIRTIO_BLK_S_IOERR;
	op->bytes = virtq_write(&blk->chain, 0, blk->serial, VIRTIO_BLK_ID_BYTES);
	return VIRTIO_BLK_S_OK;
}

/* DISCARD and WRITE_ZEROES (5.2.6.2): one segment, as the configuration says. */
static int clear(struct blk *blk, struct blk_op *op)
{
	struct virtio_blk_discard_write_zeroes segment;
	bool discard = op->type == VIRTIO_BLK_T_DISCARD;
	uint64_t bytes;
	uint32_t flags;

	virtio_count(&blk->stats.discards, 1);
	if (blk->image.read_only ||
	    blk->chain.readable_bytes != sizeof(struct virtio_blk_outhdr) + sizeof(segment))
		return VIRTIO_BLK_S_IOERR;
	virtq_read(&blk->chain, sizeof(struct virtio_blk_outhdr), &segment, sizeof(segment));
	flags = le32toh(segment.flags);
	if (flags & ~(discard ? 0u : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return VIRTIO_BLK_S_UNSUPP;
	bytes = (uint64_t)le32toh(segment.num_sectors) << SECTOR_SHIFT;
	if (le32toh(segment.num_sectors) > ZEROES_SECTORS_MAX ||
	    !locate(blk, le64toh(segment.sector), bytes, &op->offset))
		return VIRTIO_BLK_S_IOERR;
	op->iov_count = 0;
	op->bytes = (uint32_t)bytes; /* at most 2 GiB */
	op->unmap = discard || flags;
	return bytes ? blk_io_queue(blk, op) : VIRTIO_BLK_S_OK;
}

static int execute(struct blk *blk, struct blk_op *op)
{
	limit_take(&blk->request_limit, 1);
	switch (op->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return transfer(blk, op);
	case VIRTIO_BLK_T_FLUSH:
		return flush(blk, op);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(blk, op);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return clear(blk, op);
	default:
		virtio_count(&blk->stats.others, 1);
		return VIRTIO_BLK_S_UNSUPP;
	}
}

void blk_finish(struct blk *blk, const struct blk_op *op, int status)
{
	uint32_t written = 1;

	if (status == VIRTIO_BLK_S_OK &&
	    (op->type == VIRTIO_BLK_T_IN || op->type == VIRTIO_BLK_T_GET_ID))
		written += op->bytes;
	if (status == VIRTIO_BLK_S_IOERR)
		virtio_count(&blk->stats.errors, 1);
	*op->status = (uint8_t)status;
	virtq_push(virtio_queue(&blk->virtio, op->queue), op->head, written);
}

/* ---- Queues ---- */

/* The bandwidth and request limits, and room for one more request in flight. Where there is none,
 * a timer or a completion looks at the queues again. */
static bool may_take(struct blk *blk)
{
	uint64_t now, wait;

	if (!blk_io_room(blk)) {
		blk->starved = true;
		return false;
	}
	if (!limit_is_set(&blk->byte_limit) && !limit_is_set(&blk->request_limit))
		return true;
	now = clock_ns();
	if (limit_open(&blk->byte_limit, now) && limit_open(&blk->request_limit, now))
		return true;
	wait = num_max(limit_wait_ns(&blk->byte_limit), limit_wait_ns(&blk->request_limit));
	virtio_count(&blk->stats.throttled, 1);
	if (!blk->timer.pending && loop_timeout(blk->loop, &blk->timer, wait))
		return true; /* no timer: better too fast than never */
	return false;
}

/* Returns what it was worth of a turn: 1, and as much for each TURN_BYTES that were moved at once.
 */
static unsigned int take(struct blk *blk, unsigned int queue)
{
	struct blk_op op;
	int status;

	if (!parse(blk, queue, &op)) {
		virtio_needs_reset(&blk->virtio, "block request without header or status");
		return 1;
	}
	status = execute(blk, &op);
	if (status == BLK_IN_RING)
		return 1;
	blk_finish(blk, &op, status);
	return 1 + op.bytes / TURN_BYTES;
}

static bool blk_kick(struct virtio *virtio, unsigned int queue)
{
	struct blk *blk = (struct blk *)virtio;
	struct virtq *q = virtio_queue(virtio, queue);
	unsigned int budget = q->size;
	bool held_back = false;

	do {
		virtq_kicks_off(q);
		while (budget && !held_back) {
			held_back = !may_take(blk);
			if (held_back || !virtio_pop(virtio, queue, &blk->chain))
				break;
			budget -= (unsigned int)num_min(budget, take(blk, queue));
		}
	} while (budget && !held_back && virtio_kicks_on(virtio, queue));
	virtio_interrupt(virtio, queue);
	return !budget;
}

void blk_look_again(struct blk *blk)
{
	struct virtio *virtio = &blk->virtio;

	for (unsigned int i = 0; i < virtio->queue_count; i++) {
		if (virtq_running(&virtio->queues[i]))
			virtio->wiring.kick(virtio->wiring.opaque, i);
	}
}

static void timer_done(struct loop_request *request, int result)
{
	struct blk *blk = (struct blk *)((char *)request - offsetof(struct blk, timer));

	if (result == -ECANCELED)
		return;
	pthread_mutex_lock(blk->virtio.lock);
	blk_look_again(blk);
	pthread_mutex_unlock(blk->virtio.lock);
}

/* ---- The device ---- */

static void blk_destroy(struct virtio *virtio)
{
	struct blk *blk = (struct blk *)virtio;

	image_close(&blk->image);
	free(blk->requests);
	free(blk->zeroes);
	free(blk);
}

static const struct virtio_counter blk_counters[] = {
	{ "reads", offsetof(struct blk, stats.reads), 0 },
	{ "writes", offsetof(struct blk, stats.writes), 0 },
	{ "flushes", offsetof(struct blk, stats.flushes), 0 },
	{ "discards", offsetof(struct blk, stats.discards), 0 },
	{ "others", offsetof(struct blk, stats.others), 0 },
	{ "read_bytes", offsetof(struct blk, stats.read_bytes), 0 },
	{ "written_bytes", offsetof(struct blk, stats.written_bytes), 0 },
	{ "errors", offsetof(struct blk, stats.errors), 0 },
	{ "at_once", offsetof(struct blk, stats.at_once), 0 },
	{ "queued", offsetof(struct blk, stats.queued), 0 },
	{ "throttled", offsetof(struct blk, stats.throttled), 0 },
	{ "latency_us_log2", offsetof(struct blk, stats.latency), BLK_LATENCIES },
	{ 0 },
};

static const struct virtio_type blk_type = {
	.name = "blk",
	.id = VIRTIO_ID_BLOCK,
	.pci_class = 0x018000,
	.queue_count = 1,
	.queue_size = QUEUE_SIZE,
	.features = VIRTIO_FEATURE(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
		    VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY),
	.config_bytes = offsetof(struct virtio_blk_config, max_secure_erase_sectors),
	.counters = blk_counters,
	.kick = blk_kick,
	.destroy = blk_destroy,
};

int blk_create(struct virtio **virtio, const struct blk_config *config, const struct ram *ram,
	       struct loop *loop, const struct log *log, struct error *error)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	struct image image = config->image;

	if (!blk) {
		image_close(&image);
		return error_set(error, ENOMEM, "no memory for a disk");
	}
	blk->image = config->image;
	blk->loop = loop;
	blk->timer.done = timer_done;
	memcpy(blk->serial, config->serial, BLK_SERIAL_BYTES);
	limit_init(&blk->byte_limit, &config->bytes, clock_ns());
	limit_init(&blk->request_limit, &config->requests, clock_ns());
	if (blk_io_init(blk)) {
		blk_destroy(&blk->virtio);
		return error_set(error, ENOMEM, "no memory for a disk's requests");
	}
	virtio_init(&blk->virtio, &blk_type, ram, log, features(config), config->queue_count);
	write_config(blk, config->queue_count);
	/* Not the other one: it has the lock, which must be free when we are gone. */
	if (image.direct_fd >= 0) {
		loop_register_file(loop, image.direct_fd);
		for (uint32_t i = 0; i < ram->range_count; i++)
			loop_add_memory(loop, ram->ranges[i].host, ram->ranges[i].bytes);
	}
	*virtio = &blk->virtio;
	return 0;
}

const struct blk_stats *blk_stats(const struct virtio *virtio)
{
	return &((const struct blk *)virtio)->stats;
}
