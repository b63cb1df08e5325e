/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_area: the memory ACPI tables are written into, one after the other; internal to boot/. */
#ifndef BOOT_ACPI_AREA_H
#define BOOT_ACPI_AREA_H

#include <stdbool.h>
#include <stdint.h>

#define ACPI_HEADER_BYTES 36

/* A place in guest memory that is filled from its beginning. What does not fit is dropped and sets
 * full, so that a writer checks once, at the end. */
struct acpi_area {
	uint8_t *data;
	uint64_t gpa; /* of data */
	uint64_t capacity;
	uint64_t used;
	bool full;
};

/* Append; little-endian. */
void acpi_put(struct acpi_area *area, const void *data, uint64_t bytes);
void acpi_put_zeros(struct acpi_area *area, uint64_t bytes);
void acpi_put_u8(struct acpi_area *area, uint8_t value);
void acpi_put_u16(struct acpi_area *area, uint16_t value);
void acpi_put_u32(struct acpi_area *area, uint32_t value);
void acpi_put_u64(struct acpi_area *area, uint64_t value);

/* Overwrites bytes that have been appended; nothing where offset + bytes is beyond them. */
void acpi_set(struct acpi_area *area, uint64_t offset, const void *data, uint64_t bytes);

/*
 * Begins a table with the standard header (ACPI 6.5 section 5.2.6), aligned to 16 bytes; returns
 * its offset. acpi_end_table() fills in length and checksum and returns its guest-physical address.
 */
uint64_t acpi_begin_table(struct acpi_area *area, const char signature[4], uint8_t revision);
uint64_t acpi_end_table(struct acpi_area *area, uint64_t offset);

/* Sets the byte at offset + at so that the bytes from offset on sum up to 0. */
void acpi_set_checksum(struct acpi_area *area, uint64_t offset, uint64_t bytes, uint64_t at);

#endif
