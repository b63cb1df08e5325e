/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_virtq: rings and descriptors of any content, changed between calls. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "tests/fake/guest.h"

/* Rings lie in the first page, so that a short input reaches all of them. */
#define AREA_BYTES      4096
#define DESCRIPTORS_GPA 0
#define DRIVER_GPA      0x400
#define DEVICE_GPA      0x600

/* What must hold of every chain, whatever the driver wrote. */
static void check_chain(const struct virtq *q, const struct virtq_chain *chain)
{
	uint64_t readable = 0, writable = 0;

	if (chain->head >= q->size || chain->readable + chain->writable > q->size ||
	    chain->readable + chain->writable == 0)
		abort();
	for (uint32_t i = 0; i < (uint32_t)chain->readable + chain->writable; i++) {
		volatile uint8_t *first = chain->iov[i].iov_base;

		if (!chain->iov[i].iov_len)
			abort();
		(void)first[0];
		(void)first[chain->iov[i].iov_len - 1]; /* a sanitizer looks */
		*(i < chain->readable ? &readable : &writable) += chain->iov[i].iov_len;
	}
	if (readable != chain->readable_bytes || writable != chain->writable_bytes)
		abort();
}

static void copy_some(const struct virtq_chain *chain, uint32_t offset)
{
	uint8_t bytes[300] = { 0 };
	uint32_t got = virtq_read(chain, offset, bytes, sizeof(bytes));

	if (offset < chain->readable_bytes &&
	    got != num_min(sizeof(bytes), chain->readable_bytes - offset))
		abort();
	virtq_write(chain, offset, bytes, sizeof(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct ram ram;
	static struct virtq_chain chain;
	struct virtq q = { .size_max = VIRTQ_SIZE_MAX };
	size_t area;

	if (!ram.range_count)
		fake_ram_init(&ram);
	if (bytes < 4)
		return 0;
	area = num_min(bytes - 4, AREA_BYTES);
	memset(ram.ranges[0].host, 0, AREA_BYTES);
	memcpy(ram.ranges[0].host, data + 4, area);
	virtq_reset(&q);
	q.size = (uint16_t)(1u << data[0] % 6);
	q.descriptors_gpa = DESCRIPTORS_GPA;
	q.driver_gpa = DRIVER_GPA;
	q.device_gpa = DEVICE_GPA;
	if (!virtq_start(&q, &ram, data[1] & 1, data[1] & 2))
		abort();
	for (size_t at = 4; at + 4 <= bytes && at < 4 + 64 * 4; at += 4) {
		switch (data[at] % 8) {
		case 0:
			virtq_kicks_off(&q);
			break;
		case 1:
			virtq_kicks_on(&q);
			break;
		case 2:
			virtq_signal_due(&q);
			break;
		case 3: /* the driver writes something somewhere */
			memcpy(ram.ranges[0].host + load_le16(data + at + 1) % (AREA_BYTES - 8),
			       data + at, 4);
			break;
		default:
			if (virtq_pop(&q, &chain) != VIRTQ_CHAIN)
				break;
			check_chain(&q, &chain);
			copy_some(&chain, data[at + 1]);
			virtq_push(&q, chain.head, data[at + 2]);
		}
	}
	return 0;
}
