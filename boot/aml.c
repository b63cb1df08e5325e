/* SPDX-License-Identifier: Apache-2.0 */
/* aml: ACPI Machine Language (ACPI 6.5 section 20), the few terms the DSDT is made of. */
#include "boot/aml.h"

#include "base/num.h"

/* Opcodes (section 20.3). */
#define AML_ZERO        0x00
#define AML_ONE         0x01
#define AML_NAME        0x08
#define AML_BYTE        0x0a
#define AML_WORD        0x0b
#define AML_DWORD       0x0c
#define AML_STRING      0x0d
#define AML_QWORD       0x0e
#define AML_SCOPE       0x10
#define AML_BUFFER      0x11
#define AML_PACKAGE     0x12
#define AML_METHOD      0x14
#define AML_EXT         0x5b /* two bytes: */
#define AML_EXT_REGION  0x80
#define AML_EXT_FIELD   0x81
#define AML_EXT_DEVICE  0x82
#define AML_LOCAL0      0x60
#define AML_STORE       0x70
#define AML_AND         0x7b
#define AML_NOTIFY      0x86
#define AML_IF          0xa0
#define AML_SERIALIZED  0x08 /* method flag */
#define AML_SPACE_IO    0x01
#define AML_FIELD_BYTE  0x01      /* ByteAcc, NoLock */
#define AML_FIELD_ZEROS (2u << 5) /* WriteAsZeros */
#define AML_SEGMENT     4

/* PkgLength (section 20.2.4) in its three-byte form, always: it need not be known before what it
 * measures has been written. It counts itself. */
#define LENGTH_BYTES 3
#define LENGTH_MAX   0xfffff

static uint64_t begin_length(struct acpi_area *area)
{
	uint64_t mark = area->used;

	acpi_put_zeros(area, LENGTH_BYTES);
	return mark;
}

void aml_end(struct acpi_area *area, uint64_t mark)
{
	uint64_t length = area->used - mark;
	uint8_t bytes[LENGTH_BYTES];

	if (length > LENGTH_MAX)
		area->full = true;
	if (area->full)
		return;
	bytes[0] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (length & 0xf));
	bytes[1] = (uint8_t)(length >> 4);
	bytes[2] = (uint8_t)(length >> 12);
	acpi_set(area, mark, bytes, sizeof(bytes));
}

static void put_name(struct acpi_area *area, const char *name)
{
	int i;

	if (*name == '\\')
		acpi_put_u8(area, (uint8_t)*name++);
	for (i = 0; i < AML_SEGMENT; i++)
		acpi_put_u8(area, *name ? (uint8_t)*name++ : '_');
}

uint64_t aml_begin_scope(struct acpi_area *area, const char *name)
{
	uint64_t mark;

	acpi_put_u8(area, AML_SCOPE);
	mark = begin_length(area);
	put_name(area, name);
	return mark;
}

uint64_t aml_begin_device(struct acpi_area *area, const char *name)
{
	uint64_t mark;

	acpi_put_u8(area, AML_EXT);
	acpi_put_u8(area, AML_EXT_DEVICE);
	mark = begin_length(area);
	put_name(area, name);
	return mark;
}

uint64_t aml_begin_method(struct acpi_area *area, const char *name, unsigned int arguments)
{
	uint64_t mark;

	acpi_put_u8(area, AML_METHOD);
	mark = begin_length(area);
	put_name(area, name);
	acpi_put_u8(area, (uint8_t)(arguments | AML_SERIALIZED));
	return mark;
}

uint64_t aml_begin_package(struct acpi_area *area, unsigned int elements)
{
	uint64_t mark;

	acpi_put_u8(area, AML_PACKAGE);
	mark = begin_length(area);
	acpi_put_u8(area, (uint8_t)elements);
	return mark;
}

uint64_t aml_begin_if(struct acpi_area *area)
{
	acpi_put_u8(area, AML_IF);
	return begin_length(area);
}

void aml_name(struct acpi_area *area, const char *name)
{
	acpi_put_u8(area, AML_NAME);
	put_name(area, name);
}

/* In the shortest form there is. */
void aml_integer(struct acpi_area *area, uint64_t value)
{
	if (value <= 1) {
		acpi_put_u8(area, value ? AML_ONE : AML_ZERO);
	} else if (value <= UINT8_MAX) {
		acpi_put_u8(area, AML_BYTE);
		acpi_put_u8(area, (uint8_t)value);
	} else if (value <= UINT16_MAX) {
		acpi_put_u8(area, AML_WORD);
		acpi_put_u16(area, (uint16_t)value);
	} else if (value <= UINT32_MAX) {
		acpi_put_u8(area, AML_DWORD);
		acpi_put_u32(area, (uint32_t)value);
	} else {
		acpi_put_u8(area, AML_QWORD);
		acpi_put_u64(area, value);
	}
}

void aml_string(struct acpi_area *area, const char *text)
{
	acpi_put_u8(area, AML_STRING);
	acpi_put(area, text, strlen(text) + 1);
}

static uint32_t hex_digit(char digit)
{
	return digit <= '9' ? (uint32_t)(digit - '0') : (uint32_t)(digit - 'A') + 10;
}

/* Section 19.3.4 (EISAID macro): five bits for each letter, four for each digit, high byte
 * first. */
void aml_eisa_id(struct acpi_area *area, const char *id)
{
	uint32_t value = 0;
	int i;

	for (i = 0; i < 3; i++)
		value = value << 5 | (uint32_t)(id[i] - '@');
	for (; i < 7; i++)
		value = value << 4 | hex_digit(id[i]);
	acpi_put_u8(area, AML_DWORD);
	acpi_put_u32(area, __builtin_bswap32(value));
}

void aml_hid_eisa(struct acpi_area *area, const char *id)
{
	aml_name(area, "_HID");
	aml_eisa_id(area, id);
}

void aml_hid(struct acpi_area *area, const char *id)
{
	aml_name(area, "_HID");
	aml_string(area, id);
}

void aml_uid(struct acpi_area *area, uint64_t uid)
{
	aml_name(area, "_UID");
	aml_integer(area, uid);
}

/* A buffer whose size is a 16-bit integer right behind its PkgLength, filled in at the end. */
uint64_t aml_begin_resources(struct acpi_area *area)
{
	uint64_t mark;

	aml_name(area, "_CRS");
	acpi_put_u8(area, AML_BUFFER);
	mark = begin_length(area);
	acpi_put_u8(area, AML_WORD);
	acpi_put_u16(area, 0);
	return mark;
}

/* The end tag (section 6.4.2.9) with no checksum. */
void aml_end_resources(struct acpi_area *area, uint64_t mark)
{
	const uint64_t begin = mark + LENGTH_BYTES + 3;
	uint8_t bytes[2];

	acpi_put_u8(area, 0x79);
	acpi_put_u8(area, 0);
	store_le16(bytes, (uint16_t)(area->used - begin));
	acpi_set(area, begin - sizeof(bytes), bytes, sizeof(bytes));
	aml_end(area, mark);
}

/* I/O port descriptor, section 6.4.2.5. */
void aml_io(struct acpi_area *area, uint16_t port, uint8_t ports)
{
	acpi_put_u8(area, 0x47);
	acpi_put_u8(area, 1); /* 16-bit decode */
	acpi_put_u16(area, port);
	acpi_put_u16(area, port);
	acpi_put_u8(area, 1); /* alignment */
	acpi_put_u8(area, ports);
}

/* Extended interrupt descriptor, section 6.4.3.6. The small IRQ descriptor would do for pins below
 * 16, but Linux second-guesses its mode. */
static void put_interrupt(struct acpi_area *area, uint32_t gsi, uint8_t flags)
{
	acpi_put_u8(area, 0x89);
	acpi_put_u16(area, 6);
	acpi_put_u8(area, flags);
	acpi_put_u8(area, 1);
	acpi_put_u32(area, gsi);
}

void aml_interrupt_edge(struct acpi_area *area, uint32_t gsi)
{
	put_interrupt(area, gsi, 0x03); /* consumer, edge, active high, exclusive */
}

void aml_interrupt_level(struct acpi_area *area, uint32_t gsi)
{
	put_interrupt(area, gsi, 0x01); /* consumer, level, active high, exclusive */
}

/* Section 6.4.3.4. */
void aml_memory32(struct acpi_area *area, uint32_t base, uint32_t bytes)
{
	acpi_put_u8(area, 0x86);
	acpi_put_u16(area, 9);
	acpi_put_u8(area, 1); /* writable */
	acpi_put_u32(area, base);
	acpi_put_u32(area, bytes);
}

/* Address space descriptors, section 6.4.3.5: what a bridge passes on, both ends fixed. */
#define ADDRESS_MEMORY 0
#define ADDRESS_PORT   1
#define ADDRESS_BUS    2
#define ADDRESS_FIXED  0x0c

void aml_bus_numbers(struct acpi_area *area, uint16_t first, uint16_t last)
{
	acpi_put_u8(area, 0x88);
	acpi_put_u16(area, 13);
	acpi_put_u8(area, ADDRESS_BUS);
	acpi_put_u8(area, ADDRESS_FIXED);
	acpi_put_u8(area, 0);
	acpi_put_u16(area, 0); /* granularity */
	acpi_put_u16(area, first);
	acpi_put_u16(area, last);
	acpi_put_u16(area, 0); /* translation */
	acpi_put_u16(area, (uint16_t)(last - first + 1));
}

void aml_port_window(struct acpi_area *area, uint16_t first, uint16_t last)
{
	acpi_put_u8(area, 0x88);
	acpi_put_u16(area, 13);
	acpi_put_u8(area, ADDRESS_PORT);
	acpi_put_u8(area, ADDRESS_FIXED);
	acpi_put_u8(area, 3);  /* the entire range */
	acpi_put_u16(area, 0); /* granularity */
	acpi_put_u16(area, first);
	acpi_put_u16(area, last);
	acpi_put_u16(area, 0); /* translation */
	acpi_put_u16(area, (uint16_t)(last - first + 1));
}

void aml_memory_window(struct acpi_area *area, uint32_t base, uint32_t bytes)
{
	acpi_put_u8(area, 0x87);
	acpi_put_u16(area, 23);
	acpi_put_u8(area, ADDRESS_MEMORY);
	acpi_put_u8(area, ADDRESS_FIXED);
	acpi_put_u8(area, 1);  /* read and write, not cacheable */
	acpi_put_u32(area, 0); /* granularity */
	acpi_put_u32(area, base);
	acpi_put_u32(area, base + bytes - 1);
	acpi_put_u32(area, 0); /* translation */
	acpi_put_u32(area, bytes);
}

void aml_port_field(struct acpi_area *area, const char *region, const char *field, uint16_t port)
{
	uint64_t mark;

	acpi_put_u8(area, AML_EXT);
	acpi_put_u8(area, AML_EXT_REGION);
	put_name(area, region);
	acpi_put_u8(area, AML_SPACE_IO);
	aml_integer(area, port);
	aml_integer(area, 1);

	acpi_put_u8(area, AML_EXT);
	acpi_put_u8(area, AML_EXT_FIELD);
	mark = begin_length(area);
	put_name(area, region);
	acpi_put_u8(area, AML_FIELD_BYTE | AML_FIELD_ZEROS);
	put_name(area, field);
	acpi_put_u8(area, 8); /* bits; PkgLength's one-byte form */
	aml_end(area, mark);
}

void aml_store_to_local0(struct acpi_area *area, const char *from)
{
	acpi_put_u8(area, AML_STORE);
	put_name(area, from);
	acpi_put_u8(area, AML_LOCAL0);
}

void aml_local0_and(struct acpi_area *area, uint64_t mask)
{
	acpi_put_u8(area, AML_AND);
	acpi_put_u8(area, AML_LOCAL0);
	aml_integer(area, mask);
	acpi_put_u8(area, AML_ZERO); /* no target */
}

void aml_notify(struct acpi_area *area, const char *name, uint64_t value)
{
	acpi_put_u8(area, AML_NOTIFY);
	put_name(area, name);
	aml_integer(area, value);
}
