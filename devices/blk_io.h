/* SPDX-License-Identifier: Apache-2.0 */
/* blk_io: how a block device's data moves: at once, or through the loop's ring. For blk.c alone. */
#ifndef DEVICES_BLK_IO_H
#define DEVICES_BLK_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/blk.h"

/* Beside VIRTIO_BLK_S_*: the request is on its way, blk_finish() comes later. */
#define BLK_IN_RING 256

#define BLK_REQUESTS     128 /* in the ring at a time, of one disk */
#define BLK_ZEROES_BYTES 4096

/* What is left to do of a request whose fields have been checked. Until it goes to the ring, iov
 * points into blk->chain. */
struct blk_op {
	unsigned int queue;
	uint16_t head;
	uint32_t type; /* VIRTIO_BLK_T_* */
	bool unmap;
	uint32_t bytes; /* all of them */
	uint32_t done;  /* of bytes; iov begins behind it */
	uint64_t offset;
	int fd; /* of a transfer: which way into the image, until some of it is done */
	struct iovec *iov;
	uint32_t iov_count;
	uint8_t *status; /* where the guest looks */
};

/* A request in the ring: the loop's from submission to completion, ours by its address, whatever
 * head it has: a driver may post one head twice. */
struct blk_request {
	struct loop_request loop;
	struct blk *blk;
	struct blk_request *next; /* while it is free */
	struct blk_op op;
	uint32_t epoch;    /* of the virtio device, when it was submitted */
	bool zero_by_hand; /* the file cannot be told to; zeroes are written */
	uint64_t begun_ns;
	struct iovec iov[VIRTQ_SIZE_MAX];
};

/* What trying at once taught, for reads and for writes. */
struct blk_pace {
	bool no_nowait;     /* the file does not know RWF_NOWAIT */
	uint32_t penalty;   /* how many requests a failure sends to the ring; doubles */
	uint32_t ring_left; /* that many are still to go */
	uint32_t count;
};

/* Lock: the virtio device's. */
struct blk {
	struct virtio virtio;
	struct image image;
	struct loop *loop;
	struct limit byte_limit, request_limit;
	struct loop_request timer; /* of the limits */
	struct blk_pace pace[2];   /* reads, writes */
	uint64_t sector;           /* of the request at hand */
	struct virtq_chain chain;  /* the request at hand */
	uint8_t serial[BLK_SERIAL_BYTES];
	struct blk_request *requests, *free;
	uint32_t in_ring; /* requests that are not free */
	uint32_t used;    /* the first so many of requests are, or were, in use */
	bool starved;     /* a queue was left alone because no request was free */
	struct loop_task after_batch;
	uint64_t finished; /* queues to interrupt after the batch, a bit each */
	uint8_t *zeroes;
	int reported; /* the errno that was last logged */
	struct blk_stats stats;
};

int blk_io_init(struct blk *blk); /* 0 or -ENOMEM */
/* Whether one more request can go to the ring. */
bool blk_io_room(const struct blk *blk);
/* VIRTIO_BLK_S_* or BLK_IN_RING. Called where there is room. */
int blk_io_transfer(struct blk *blk, struct blk_op *op);
int blk_io_queue(struct blk *blk, const struct blk_op *op);

/* In blk.c: answers a request; looks at all queues again. */
void blk_finish(struct blk *blk, const struct blk_op *op, int status);
void blk_look_again(struct blk *blk);

#endif
