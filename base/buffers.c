/* SPDX-License-Identifier: Apache-2.0 */
/* buffers: which pieces of memory are worth being registered with the loop's ring. */
#include "base/buffers.h"

#include <stdlib.h>

#include "base/num.h"

#define WORD_BITS 64

void buffers_add(struct buffers *buffers, void *base, uint64_t bytes)
{
	for (uint32_t i = 0; i < buffers->area_count; i++) {
		if (buffers->areas[i].base == base)
			return;
	}
	if (buffers->area_count == BUFFERS_AREAS || !bytes)
		return;
	buffers->areas[buffers->area_count].base = base;
	buffers->areas[buffers->area_count++].bytes = bytes;
}

/* Pieces of all areas together. */
static uint64_t cut(struct buffers *buffers, unsigned int shift)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < buffers->area_count; i++) {
		buffers->areas[i].first = (uint32_t)num_min(count, BUFFERS_MAX);
		count += ((buffers->areas[i].bytes - 1) >> shift) + 1;
	}
	return count;
}

bool buffers_prepare(struct buffers *buffers)
{
	uint64_t count;

	buffers->shift = (unsigned int)__builtin_ctzll(BUFFERS_PIECE_BYTES);
	while ((count = cut(buffers, buffers->shift)) > BUFFERS_MAX)
		buffers->shift++;
	if (!count)
		return false;
	buffers->count = (uint32_t)count;
	buffers->uses = calloc(count, sizeof(*buffers->uses));
	buffers->registered = calloc(count / WORD_BITS + 1, sizeof(*buffers->registered));
	if (buffers->uses && buffers->registered)
		return true;
	buffers_fini(buffers);
	return false;
}

void buffers_fini(struct buffers *buffers)
{
	free(buffers->uses);
	free(buffers->registered);
	*buffers = (struct buffers){ 0 };
}

/* The piece that holds all of it, and that piece's memory; or -1. */
static int find(const struct buffers *buffers, const void *at, uint64_t bytes, struct iovec *memory)
{
	for (uint32_t i = 0; i < buffers->area_count; i++) {
		uint64_t offset = (uintptr_t)at - (uintptr_t)buffers->areas[i].base;
		uint64_t piece = offset >> buffers->shift, begin = piece << buffers->shift;

		if (!bytes || !num_within(offset, bytes, buffers->areas[i].bytes))
			continue;
		if ((offset + bytes - 1) >> buffers->shift != piece)
			return -1;
		memory->iov_base = buffers->areas[i].base + begin;
		memory->iov_len =
			num_min(buffers->areas[i].bytes - begin, UINT64_C(1) << buffers->shift);
		return (int)(buffers->areas[i].first + piece);
	}
	return -1;
}

int buffers_use(struct buffers *buffers, const void *at, uint64_t bytes, struct iovec *due)
{
	struct iovec memory;
	int piece;

	due->iov_len = 0;
	if (!buffers->uses)
		return -1;
	piece = find(buffers, at, bytes, &memory);
	if (piece < 0)
		return -1;
	if (buffers->registered[piece / WORD_BITS] >> piece % WORD_BITS & 1)
		return piece;
	if (buffers->uses[piece] < BUFFERS_USES)
		buffers->uses[piece]++;
	if (buffers->uses[piece] < BUFFERS_USES)
		return -1;
	*due = memory;
	return piece;
}

void buffers_registered(struct buffers *buffers, int piece)
{
	buffers->registered[piece / WORD_BITS] |= UINT64_C(1) << piece % WORD_BITS;
}
