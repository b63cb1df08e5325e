/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_area: the memory ACPI tables are written into, one after the other. */
#include "boot/acpi_area.h"

#include "base/num.h"
#include "boot/acpi_ids.h"

#define TABLE_ALIGNMENT 16

/* Offsets in the standard header. */
#define HEADER_LENGTH   4
#define HEADER_CHECKSUM 9

/* Room for bytes at the end, or NULL. */
static uint8_t *extend(struct acpi_area *area, uint64_t bytes)
{
	uint8_t *at = area->data + area->used;

	if (area->full || !num_within(area->used, bytes, area->capacity)) {
		area->full = true;
		return NULL;
	}
	area->used += bytes;
	return at;
}

void acpi_put(struct acpi_area *area, const void *data, uint64_t bytes)
{
	uint8_t *at = extend(area, bytes);

	if (at)
		memcpy(at, data, bytes);
}

void acpi_put_zeros(struct acpi_area *area, uint64_t bytes)
{
	uint8_t *at = extend(area, bytes);

	if (at)
		memset(at, 0, bytes);
}

void acpi_put_u8(struct acpi_area *area, uint8_t value)
{
	acpi_put(area, &value, sizeof(value));
}

void acpi_put_u16(struct acpi_area *area, uint16_t value)
{
	uint8_t *at = extend(area, sizeof(value));

	if (at)
		store_le16(at, value);
}

void acpi_put_u32(struct acpi_area *area, uint32_t value)
{
	uint8_t *at = extend(area, sizeof(value));

	if (at)
		store_le32(at, value);
}

void acpi_put_u64(struct acpi_area *area, uint64_t value)
{
	uint8_t *at = extend(area, sizeof(value));

	if (at)
		store_le64(at, value);
}

void acpi_set(struct acpi_area *area, uint64_t offset, const void *data, uint64_t bytes)
{
	if (num_within(offset, bytes, area->used))
		memcpy(area->data + offset, data, bytes);
}

uint64_t acpi_begin_table(struct acpi_area *area, const char signature[4], uint8_t revision)
{
	uint64_t offset = area->used;

	if (num_align_up(area->used, TABLE_ALIGNMENT, &offset))
		acpi_put_zeros(area, offset - area->used);
	acpi_put(area, signature, 4);
	acpi_put_u32(area, 0); /* length */
	acpi_put_u8(area, revision);
	acpi_put_u8(area, 0); /* checksum */
	acpi_put(area, ACPI_OEM_ID, 6);
	acpi_put(area, ACPI_OEM_TABLE_ID, 8);
	acpi_put_u32(area, ACPI_OEM_REVISION);
	acpi_put(area, ACPI_CREATOR_ID, 4);
	acpi_put_u32(area, ACPI_CREATOR_REVISION);
	return offset;
}

uint64_t acpi_end_table(struct acpi_area *area, uint64_t offset)
{
	uint8_t length[4];

	if (area->full)
		return 0;
	store_le32(length, (uint32_t)(area->used - offset));
	acpi_set(area, offset + HEADER_LENGTH, length, sizeof(length));
	acpi_set_checksum(area, offset, area->used - offset, HEADER_CHECKSUM);
	return area->gpa + offset;
}

void acpi_set_checksum(struct acpi_area *area, uint64_t offset, uint64_t bytes, uint64_t at)
{
	uint8_t sum = 0;
	uint64_t i;

	if (!num_within(offset, bytes, area->used) || at >= bytes)
		return;
	area->data[offset + at] = 0;
	for (i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + area->data[offset + i]);
	area->data[offset + at] = (uint8_t)-sum;
}
