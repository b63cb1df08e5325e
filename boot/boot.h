/* SPDX-License-Identifier: Apache-2.0 */
/* boot: puts a kernel in memory, describes the machine to it, and says how the first vCPU starts.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "boot/tree.h"
#include "mem/ram.h"

enum boot_protocol {
	BOOT_LINUX64, /* 64-bit entry of the Linux/x86 boot protocol (boot.rst): RSI = zero page,
			 identity map */
	BOOT_PVH,     /* PVH: 32-bit flat, paging off, EBX = hvm_start_info */
};

/* Which of the two an image is started with. AUTO: see boot/elf.c. */
enum boot_choice {
	BOOT_CHOICE_AUTO,
	BOOT_CHOICE_LINUX64,
	BOOT_CHOICE_PVH,
};

/* What boot_load() needs to know. Descriptors stay the caller's. */
struct boot_source {
	enum boot_choice choice;
	int kernel_fd;
	uint64_t kernel_bytes;
	int initrd_fd; /* -1: none */
	uint64_t initrd_bytes;
	const struct tree *tree; /* instead of initrd_fd; NULL: none */
	struct tree_progress tree_progress;
	const char *kernel_name; /* for error texts */
	const char *initrd_name;
	const char *cmdline; /* may be NULL or empty */
};

/* The kernel as it lies in memory, and the state its first vCPU starts in. */
struct boot_image {
	enum boot_protocol protocol;
	const char *format;                /* "bzImage", "ELF", "ELF (PVH)" */
	uint64_t entry;                    /* guest-physical */
	uint64_t kernel_gpa, kernel_end;   /* all memory the kernel takes before it looks at e820 */
	uint64_t initrd_gpa, initrd_bytes; /* 0, 0: none */
	uint64_t info_gpa;                 /* zero page or start_info */
};

/*
 * Loads kernel and initrd and writes the command line, the zero page or start_info (with the memory
 * map of ram), the GDT and reset vector of boot/x86.h and, for BOOT_LINUX64, page tables. ram is
 * fresh: what an image wants zeroed (BSS) is not written. The bytes of the files are hostile: every
 * offset and size in them is checked against the file and RAM; nothing outside RAM is written,
 * loops are bounded. Errors (text names the file): -ENOEXEC not a kernel or one that cannot be
 * booted directly (32-bit, too old), -ENODATA truncated, -EFBIG does not fit into memory, -E2BIG
 * command line too long, -EINVAL characters that a command line cannot have, or a read error.
 * *image is untouched then.
 */
int boot_load(const struct ram *ram, const struct boot_source *source, struct boot_image *image,
	      struct error *error);

/* ---- e820 (boot/e820.c): the memory map handed to the guest, both protocols ---- */
#define BOOT_E820_RAM         1
#define BOOT_E820_RESERVED    2
#define BOOT_E820_ENTRIES_MAX 8
struct boot_e820_entry {
	uint64_t gpa;
	uint64_t bytes;
	uint32_t type;
};
/* Fills entries in rising order and returns how many. */
uint32_t boot_e820(const struct ram *ram, struct boot_e820_entry entries[BOOT_E820_ENTRIES_MAX]);

/* ---- ACPI (boot/acpi.c): ACPI 6.5, hardware-reduced ---- */

/* What the tables describe beside what mem/layout.h fixes. */
struct acpi_machine {
	uint32_t vcpu_count; /* local APIC ids 0..vcpu_count-1 */
	bool serial;         /* COM1 is there */
	bool pci;            /* a PCI bus at LAYOUT_PCI_ECAM */
	/* virtio-mmio devices: pages from LAYOUT_MMIO_BASE and lines from LAYOUT_GSI_FIRST_FREE on.
	 */
	uint32_t virtio_mmio_count;
};

/* Writes RSDP (at LAYOUT_ACPI), XSDT, FADT, MADT, DSDT and, with PCI, MCFG. -ENOSPC where they do
 * not fit into LAYOUT_ACPI_BYTES. */
int acpi_write(const struct ram *ram, const struct acpi_machine *machine, struct error *error);

/* ---- command line (boot/cmdline.c) ---- */

/*
 * Copies text to a command line of capacity bytes (with the terminator): checks that it is
 * printable ASCII or UTF-8 without control characters (-EINVAL) and fits (-E2BIG). NULL is the
 * empty line. out is untouched on failure.
 */
int cmdline_copy(char *out, uint64_t capacity, const char *text, struct error *error);

#endif
