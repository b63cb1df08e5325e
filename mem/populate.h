/* SPDX-License-Identifier: Apache-2.0 */
/* populate: pages for memory, one by one or in folios of many. */
#ifndef MEM_POPULATE_H
#define MEM_POPULATE_H

#include <stdint.h>

/* Has the host populate [host, host + bytes) for writing (MADV_POPULATE_WRITE). 0 or negative
 * errno. Any thread. */
int populate_pages(void *host, uint64_t bytes);

/*
 * The same for memory that is MADV_NOHUGEPAGE, of a host that makes folios of folio_bytes for
 * memory that asks (backing_probe_folios()): a fault for each folio, not for each page.
 *
 * Linux makes pages of all enabled sizes that fit into the mapping. What holds no whole block of 2
 * MiB gets the smaller sizes only, whatever the host's policy for 2 MiB is. So this goes in steps,
 * from the middle of a block to the middle of the next: each is advised MADV_HUGEPAGE, populated,
 * and advised MADV_NOHUGEPAGE again, which makes one mapping of all of it as before.
 *
 * host and bytes are multiples of 2 MiB. Dividing a mapping inside a block makes Linux invalidate
 * the block in KVM: this comes before KVM maps any of it. Any thread, if no other does this in the
 * same blocks.
 */
int populate_folios(void *host, uint64_t bytes, uint64_t folio_bytes);

/*
 * Before populate_folios() of any part of a mapping that has no page yet: gives it one and takes it
 * away again. Parts of a mapping that were divided before there was a page, and then got their
 * first one each, stay mappings apart (before Linux 6.16 any two, later those of different
 * threads).
 */
void populate_prepare(void *host);

/* The length of the step that begins at address at, of bytes that are left. */
uint64_t populate_step_bytes(uint64_t at, uint64_t bytes);

#endif
