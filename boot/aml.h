/* SPDX-License-Identifier: Apache-2.0 */
/* aml: ACPI Machine Language (ACPI 6.5 section 20), the few terms the DSDT is made of; internal. */
#ifndef BOOT_AML_H
#define BOOT_AML_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/acpi_area.h"

/*
 * Terms are appended to the area in the order of the ASL they stand for. aml_begin_*() return a
 * mark that the matching aml_end() takes. Names are one segment of up to four characters, padded
 * with '_', with an optional leading backslash.
 */
uint64_t aml_begin_scope(struct acpi_area *area, const char *name);
uint64_t aml_begin_device(struct acpi_area *area, const char *name);
uint64_t aml_begin_method(struct acpi_area *area, const char *name, unsigned int arguments);
uint64_t aml_begin_package(struct acpi_area *area, unsigned int elements);
uint64_t aml_begin_if(struct acpi_area *area); /* the predicate follows, then the body */
void aml_end(struct acpi_area *area, uint64_t mark);

/* Name (name, ...): the object follows. */
void aml_name(struct acpi_area *area, const char *name);
void aml_integer(struct acpi_area *area, uint64_t value);
void aml_string(struct acpi_area *area, const char *text);
/* EisaId ("PNP0501"): three capitals and four hexadecimal digits. */
void aml_eisa_id(struct acpi_area *area, const char *id);

/* The two ways a device says what it is, and its number. */
void aml_hid_eisa(struct acpi_area *area, const char *id);
void aml_hid(struct acpi_area *area, const char *id);
void aml_uid(struct acpi_area *area, uint64_t uid);

/* Name (_CRS, ResourceTemplate () { ... }). */
uint64_t aml_begin_resources(struct acpi_area *area);
void aml_end_resources(struct acpi_area *area, uint64_t mark);
/* IO (Decode16, port, port, 1, ports) */
void aml_io(struct acpi_area *area, uint16_t port, uint8_t ports);
/* Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { gsi } */
void aml_interrupt_edge(struct acpi_area *area, uint32_t gsi);
/* Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { gsi } */
void aml_interrupt_level(struct acpi_area *area, uint32_t gsi);

/* Memory32Fixed (ReadWrite, base, bytes) */
void aml_memory32(struct acpi_area *area, uint32_t base, uint32_t bytes);
/* WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, first, last, 0, count) */
void aml_bus_numbers(struct acpi_area *area, uint16_t first, uint16_t last);
/* DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, 0, base,
 * base + bytes - 1, 0, bytes) */
void aml_memory_window(struct acpi_area *area, uint32_t base, uint32_t bytes);
/* WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, first, last, 0, last -
 * first + 1) */
void aml_port_window(struct acpi_area *area, uint16_t first, uint16_t last);

/* OperationRegion (region, SystemIO, port, 1), and a field of it that is the whole byte. */
void aml_port_field(struct acpi_area *area, const char *region, const char *field, uint16_t port);

/* Statements and expressions. */
void aml_store_to_local0(struct acpi_area *area, const char *from);
void aml_local0_and(struct acpi_area *area, uint64_t mask);
void aml_notify(struct acpi_area *area, const char *name, uint64_t value);

#endif
