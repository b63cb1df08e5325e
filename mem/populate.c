/* SPDX-License-Identifier: Apache-2.0 */
/* populate: pages for memory, one by one or in folios of many. */
#include "mem/populate.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "base/num.h"
#include "mem/layout.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define BLOCK_BYTES LAYOUT_HUGE_PAGE_BYTES
#define BLOCK_PAGES (BLOCK_BYTES / LAYOUT_PAGE_BYTES)
#define TRIES_MAX   1000

int populate_pages(void *host, uint64_t bytes)
{
	unsigned int tries;

	for (tries = 0; tries < TRIES_MAX; tries++) {
		if (madvise(host, bytes, MADV_POPULATE_WRITE) == 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			break;
		sched_yield();
	}
	return -errno;
}

void populate_prepare(void *host)
{
	/* Locked memory keeps the page: the first folio is single pages then. */
	if (!populate_pages(host, LAYOUT_PAGE_BYTES))
		madvise(host, LAYOUT_PAGE_BYTES, MADV_DONTNEED);
}

uint64_t populate_step_bytes(uint64_t at, uint64_t bytes)
{
	return num_min(bytes, BLOCK_BYTES - (at + BLOCK_BYTES / 2) % BLOCK_BYTES);
}

/* Whether each page of a step is there. (Pages that nobody has read are there to be written.) */
static bool is_populated(void *host, uint64_t bytes)
{
	unsigned char there[BLOCK_PAGES];
	uint64_t i;

	if (mincore(host, bytes, there))
		return false;
	for (i = 0; i < bytes / LAYOUT_PAGE_BYTES; i++)
		if (!(there[i] & 1))
			return false;
	return true;
}

/*
 * One page of each folio brings all of it; where the host had to take smaller ones, the rest comes
 * afterwards. Neither advice may fail the whole: without the first the pages are single ones, and
 * what the second leaves undone (a limit on mappings) ram_settle() does again.
 */
static int populate_step(uint8_t *host, uint64_t bytes, uint64_t folio_bytes)
{
	uint64_t at;
	int rc = 0;

	madvise(host, bytes, MADV_HUGEPAGE);
	for (at = 0; !rc && at < bytes; at += folio_bytes)
		rc = populate_pages(host + at, LAYOUT_PAGE_BYTES);
	if (!rc && !is_populated(host, bytes))
		rc = populate_pages(host, bytes);
	madvise(host, bytes, MADV_NOHUGEPAGE);
	return rc;
}

int populate_folios(void *host, uint64_t bytes, uint64_t folio_bytes)
{
	uint8_t *at = host, *end = at + bytes;
	int rc = 0;

	while (!rc && at < end) {
		uint64_t step = populate_step_bytes((uintptr_t)at, (uint64_t)(end - at));

		rc = populate_step(at, step, folio_bytes);
		at += step;
	}
	return rc;
}
