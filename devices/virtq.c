/* SPDX-License-Identifier: Apache-2.0 */
/* virtq: the device's side of a split virtqueue (virtio 1.3 section 2.7). */
#include "devices/virtq.h"

#include <linux/virtio_ring.h>
#include <string.h>

#include "base/num.h"

/* Both areas: flags, index, then the ring, then the other side's event index (2.7.6, 2.7.8). */
#define AREA_FLAGS 0
#define AREA_INDEX 2
#define AREA_RING  4

#define DRIVER_ENTRY_BYTES 2
#define DEVICE_ENTRY_BYTES sizeof(struct vring_used_elem)

/* Guest memory changes under our hands: each of these is one load or one store, never two. */
static uint16_t load16(const uint8_t *at)
{
	return le16toh(__atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE));
}

static void store16(uint8_t *at, uint16_t value)
{
	__atomic_store_n((uint16_t *)at, htole16(value), __ATOMIC_RELAXED);
}

/* The areas are aligned and inside RAM, event indices included. */
bool virtq_start(struct virtq *q, const struct ram *ram, bool indirect, bool event_index)
{
	uint64_t event_bytes = event_index ? 2 : 0;
	uint64_t driver_bytes = AREA_RING + (uint64_t)q->size * DRIVER_ENTRY_BYTES + event_bytes;
	uint64_t device_bytes = AREA_RING + (uint64_t)q->size * DEVICE_ENTRY_BYTES + event_bytes;
	void *descriptors, *driver_area, *device_area;

	if (!num_is_power_of_two(q->size) || q->size > q->size_max || q->size > VIRTQ_SIZE_MAX)
		return false;
	if (!num_is_aligned(q->descriptors_gpa, sizeof(struct vring_desc)) ||
	    !num_is_aligned(q->driver_gpa, 2) || !num_is_aligned(q->device_gpa, 4))
		return false;
	descriptors = ram_ptr(ram, q->descriptors_gpa, q->size * sizeof(struct vring_desc));
	driver_area = ram_ptr(ram, q->driver_gpa, driver_bytes);
	device_area = ram_ptr(ram, q->device_gpa, device_bytes);
	if (!descriptors || !driver_area || !device_area)
		return false;
	q->descriptors = descriptors;
	q->driver_area = driver_area;
	q->device_area = device_area;
	q->indirect = indirect;
	q->event_index = event_index;
	q->broken = false;
	q->next_avail = q->avail_seen = q->next_used = q->signalled = 0;
	q->ram = ram;
	return true;
}

void virtq_reset(struct virtq *q)
{
	uint16_t size_max = q->size_max;

	memset(q, 0, sizeof(*q));
	q->size_max = size_max;
	q->size = size_max;
}

static enum virtq_pop broken(struct virtq *q)
{
	q->broken = true;
	return VIRTQ_BROKEN;
}

/* A table of descriptors: the queue's own, or an indirect one. */
struct table {
	const uint8_t *entries;
	uint32_t count;
	bool indirect;
};

/* The copy that is judged. The compiler may not look at guest memory a second time. */
static void copy_descriptor(const struct table *table, uint32_t index, struct vring_desc *copy)
{
	memcpy(copy, table->entries + index * sizeof(*copy), sizeof(*copy));
	__asm__ volatile("" ::: "memory");
	copy->addr = le64toh(copy->addr);
	copy->len = le32toh(copy->len);
	copy->flags = le16toh(copy->flags);
	copy->next = le16toh(copy->next);
}

/* 2.7.5.3.1: negotiated, one level, not chained on, whole descriptors, no more than the queue has.
 */
static bool enter_indirect(const struct virtq *q, const struct vring_desc *desc,
			   struct table *table)
{
	uint32_t count = desc->len / sizeof(struct vring_desc);

	if (!q->indirect || table->indirect || (desc->flags & VRING_DESC_F_NEXT))
		return false;
	if (desc->len % sizeof(struct vring_desc) || count == 0 || count > q->size)
		return false;
	table->entries = ram_ptr(q->ram, desc->addr, desc->len);
	table->count = count;
	table->indirect = true;
	return table->entries;
}

/* 2.7.4.2: what the device writes comes after what it reads; a chain is below 4 GiB. */
static bool add_buffer(const struct virtq *q, const struct vring_desc *desc,
		       struct virtq_chain *chain)
{
	void *buffer = ram_ptr(q->ram, desc->addr, desc->len);
	uint64_t total = (uint64_t)chain->readable_bytes + chain->writable_bytes + desc->len;

	if (!buffer || total > UINT32_MAX)
		return false;
	chain->iov[chain->readable + chain->writable] =
		(struct iovec){ .iov_base = buffer, .iov_len = desc->len };
	if (desc->flags & VRING_DESC_F_WRITE) {
		chain->writable++;
		chain->writable_bytes += desc->len;
		return true;
	}
	if (chain->writable)
		return false;
	chain->readable++;
	chain->readable_bytes += desc->len;
	return true;
}

/* Follows a chain, at most as far as the queue is long: a loop ends there. */
static bool walk(const struct virtq *q, struct virtq_chain *chain)
{
	struct table table = { .entries = q->descriptors, .count = q->size };
	uint32_t index = chain->head;
	struct vring_desc desc;

	while (index < table.count) {
		copy_descriptor(&table, index, &desc);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (!enter_indirect(q, &desc, &table))
				return false;
			index = 0;
			continue;
		}
		if (chain->readable + chain->writable == q->size || !add_buffer(q, &desc, chain))
			return false;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return true;
		index = desc.next;
	}
	return false;
}

/* Loads the driver's index. False where it claims more than a queue can hold. */
static bool look(struct virtq *q)
{
	/* Acquire: the ring entries and descriptors below the index are read after it. Pairs with
	 * the driver's barrier before it raises the index (2.7.13.3). */
	q->avail_seen = load16(q->driver_area + AREA_INDEX);
	return (uint16_t)(q->avail_seen - q->next_avail) <= q->size;
}

enum virtq_pop virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
	uint32_t slot = q->next_avail & (q->size - 1u);

	if (q->broken)
		return VIRTQ_BROKEN;
	if (q->next_avail == q->avail_seen) {
		if (!look(q))
			return broken(q);
		if (q->next_avail == q->avail_seen)
			return VIRTQ_EMPTY;
	}
	chain->head = load16(q->driver_area + AREA_RING + (size_t)slot * DRIVER_ENTRY_BYTES);
	chain->readable = chain->writable = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
	if (!walk(q, chain))
		return broken(q);
	q->next_avail++;
	return VIRTQ_CHAIN;
}

void virtq_unpop(struct virtq *q)
{
	q->next_avail--;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t bytes)
{
	uint32_t slot = q->next_used & (q->size - 1u);
	uint8_t *entry = q->device_area + AREA_RING + slot * DEVICE_ENTRY_BYTES;

	__atomic_store_n((uint32_t *)entry, htole32(head), __ATOMIC_RELAXED);
	__atomic_store_n((uint32_t *)(entry + 4), htole32(bytes), __ATOMIC_RELAXED);
	q->next_used++;
	/* Release: data and entry are written before the index that shows them. Pairs with the
	 * driver's barrier after it read the index (2.7.14). */
	__atomic_store_n((uint16_t *)(q->device_area + AREA_INDEX), htole16(q->next_used),
			 __ATOMIC_RELEASE);
}

static uint8_t *avail_event(const struct virtq *q)
{
	return q->device_area + AREA_RING + q->size * DEVICE_ENTRY_BYTES;
}

static const uint8_t *used_event(const struct virtq *q)
{
	return q->driver_area + AREA_RING + (size_t)q->size * DRIVER_ENTRY_BYTES;
}

/* With event indices an old avail_event is enough: the driver passed it. */
void virtq_kicks_off(struct virtq *q)
{
	if (!q->event_index)
		store16(q->device_area + AREA_FLAGS, VRING_USED_F_NO_NOTIFY);
}

bool virtq_kicks_on(struct virtq *q)
{
	if (q->broken)
		return false;
	if (q->event_index)
		store16(avail_event(q), q->next_avail);
	else
		store16(q->device_area + AREA_FLAGS, 0);
	/* Full barrier: the wish for kicks is visible before the index is read again. Pairs with
	 * the driver's between raising the index and reading the wish (2.7.13.4). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!look(q)) {
		q->avail_seen = q->next_avail; /* the next pop finds the same and says so */
		return true;
	}
	return q->avail_seen != q->next_avail;
}

bool virtq_signal_due(struct virtq *q)
{
	uint16_t before = q->signalled;

	if (q->next_used == before)
		return false;
	q->signalled = q->next_used;
	/* Full barrier: the used index is visible before the driver's wish is read. Pairs with the
	 * driver's between writing the wish and reading the index (2.7.14). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_index)
		return !(load16(q->driver_area + AREA_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(load16(used_event(q)), q->next_used, before);
}

/* The part of one buffer that [offset, offset + bytes) of the chain touches. */
struct piece {
	uint8_t *at;
	uint32_t bytes;
};

static struct piece find_piece(const struct iovec *iov, uint32_t count, uint32_t offset,
			       uint32_t bytes)
{
	for (uint32_t i = 0; i < count; i++) {
		if (offset < iov[i].iov_len)
			return (struct piece){
				.at = (uint8_t *)iov[i].iov_base + offset,
				.bytes = (uint32_t)num_min(bytes, iov[i].iov_len - offset),
			};
		offset -= (uint32_t)iov[i].iov_len;
	}
	return (struct piece){ 0 };
}

uint32_t virtq_read(const struct virtq_chain *chain, uint32_t offset, void *data, uint32_t bytes)
{
	uint32_t done = 0;

	while (done < bytes && offset < chain->readable_bytes) {
		struct piece piece = find_piece(chain->iov, chain->readable, offset, bytes - done);

		if (!piece.bytes)
			break;
		memcpy((uint8_t *)data + done, piece.at, piece.bytes);
		done += piece.bytes;
		offset += piece.bytes;
	}
	return done;
}

uint32_t virtq_write(const struct virtq_chain *chain, uint32_t offset, const void *data,
		     uint32_t bytes)
{
	const struct iovec *iov = chain->iov + chain->readable;
	uint32_t done = 0;

	while (done < bytes && offset < chain->writable_bytes) {
		struct piece piece = find_piece(iov, chain->writable, offset, bytes - done);

		if (!piece.bytes)
			break;
		memcpy(piece.at, (const uint8_t *)data + done, piece.bytes);
		done += piece.bytes;
		offset += piece.bytes;
	}
	return done;
}
