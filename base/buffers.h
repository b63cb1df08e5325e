/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buffers: which pieces of memory are worth being registered with the loop's ring, which then need
 * not be looked up and pinned for each transfer that goes past the page cache.
 *
 * Registering costs about as much as it saves in 24 transfers (2 MiB on huge pages 22 k
 * instructions, a transfer 0.9 k). So a piece is registered once that many used it: in no order of
 * transfers this costs more than twice what the best choice would have cost.
 */
#ifndef BASE_BUFFERS_H
#define BASE_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BUFFERS_AREAS       4
#define BUFFERS_MAX         (1u << 14) /* the most that a ring takes */
#define BUFFERS_PIECE_BYTES (UINT64_C(1) << 21)
#define BUFFERS_USES        24

/* The loop's thread's. A zeroed one knows nothing, and needs no buffers_fini(). */
struct buffers {
	struct {
		uint8_t *base;
		uint64_t bytes;
		uint32_t first; /* of its pieces */
	} areas[BUFFERS_AREAS];
	uint32_t area_count;
	uint32_t count;       /* pieces of all areas: how large the ring's table is to be */
	unsigned int shift;   /* a piece has 1 << shift bytes, the last of an area what is left */
	uint8_t *uses;        /* of each piece, up to BUFFERS_USES; NULL: nothing is registered */
	uint64_t *registered; /* a bit each */
};

/* Before buffers_prepare(). An area that is there already, or one too many, is left out. */
void buffers_add(struct buffers *buffers, void *base, uint64_t bytes);

/* Cuts the areas into pieces. False where there are none, or no memory for the table. */
bool buffers_prepare(struct buffers *buffers);
/* Nothing is registered any more, nor will be. */
void buffers_fini(struct buffers *buffers);

/*
 * Counts a transfer of [at, at + bytes). The piece it lies in where that is registered; where that
 * is now worth it, with *due set to the piece's memory: register it under that index, then call
 * buffers_registered(). Otherwise -1.
 */
int buffers_use(struct buffers *buffers, const void *at, uint64_t bytes, struct iovec *due);
void buffers_registered(struct buffers *buffers, int piece);

#endif
