/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk: a virtio block device (virtio 1.3 section 5.2) on a raw image.
 *
 * A transfer takes one of two ways, and the code finds out which: at once, in a system call on the
 * loop's thread, where the data is in the page cache, or file or device are memory; or through the
 * loop's ring, where it would have to wait. It is tried at once with RWF_NOWAIT, without where the
 * file does not know that (tmpfs, buffered writes of most file systems); and a try that failed or
 * waited sends the following ones to the ring, the more the more often.
 */
#ifndef DEVICES_BLK_H
#define DEVICES_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "devices/image.h"
#include "devices/limit.h"
#include "devices/virtio.h"

#define BLK_SERIAL_BYTES 20
#define BLK_QUEUES_MAX   32

struct blk_config {
	struct image image;                /* the disk's from now on */
	char serial[BLK_SERIAL_BYTES + 1]; /* terminated; may be empty */
	uint16_t queue_count;              /* 1 to BLK_QUEUES_MAX: one for each vCPU is right */
	struct limit_rate bytes, requests;
};

/* In microseconds' powers of two: [i] counts requests that took less than 2^i us, and not less than
 * half of that. Of the inline ones one in eight is timed. */
#define BLK_LATENCIES 24

/* Read at any time, relaxed. */
struct blk_stats {
	_Atomic uint64_t reads, writes, flushes, discards, others;
	_Atomic uint64_t read_bytes, written_bytes;
	_Atomic uint64_t errors;
	_Atomic uint64_t at_once;   /* transfers that took the short way */
	_Atomic uint64_t queued;    /* requests that went through the ring */
	_Atomic uint64_t throttled; /* how often the limit made the device wait */
	_Atomic uint64_t latency[BLK_LATENCIES];
};

/*
 * For virtio_mmio_create() or virtio_pci_create(). Takes over config->image, on failure too. All
 * its I/O is on loop, which outlives it and has ended (loop_run() returned) when it is destroyed.
 * Everything it will ever need is allocated here.
 */
int blk_create(struct virtio **virtio, const struct blk_config *config, const struct ram *ram,
	       struct loop *loop, const struct log *log, struct error *error);

const struct blk_stats *blk_stats(const struct virtio *virtio);

#endif
