/* SPDX-License-Identifier: Apache-2.0 */
/* elf: the headers and notes of an ELF kernel; internal to boot/. */
#ifndef BOOT_ELF_H
#define BOOT_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "boot/loader.h"

#define ELF_SEGMENTS_MAX 32

/* A program header, whatever the class it came in. */
struct elf_segment {
	uint32_t type;
	uint64_t offset;
	uint64_t gpa;
	uint64_t file_bytes, memory_bytes;
	uint64_t alignment;
};

/* The headers of an ELF file. */
struct elf_image {
	bool wide; /* ELFCLASS64 */
	uint64_t entry;
	uint64_t table_offset;
	uint32_t table_entry_bytes;
	uint32_t count;
	struct elf_segment segments[ELF_SEGMENTS_MAX];
};

/* Reads and judges the ELF header, and reads the program headers, which the caller judges. Fills
 * *elf also on failure. */
int elf_parse(const struct boot_file *file, const struct boot_head *head, struct elf_image *elf,
	      struct error *error);

/* Zeroed to begin with; filled from one or more PT_NOTE segments. */
struct elf_notes {
	bool linux_kernel;  /* a note by "Linux": build salt (since 4.19), LTO */
	bool pvh;           /* XEN_ELFNOTE_PHYS32_ENTRY is there */
	uint64_t pvh_entry; /* its value: a physical address */
};

/*
 * Reads the notes at [offset, offset + bytes) of the file, at most ELF_NOTE_BYTES_MAX of them, into
 * *notes. A note that does not fit ends the walk: what was found stays. 0, -ENODATA or a read
 * error.
 */
#define ELF_NOTE_BYTES_MAX 4096
int elf_read_notes(const struct boot_file *file, uint64_t offset, uint64_t bytes,
		   uint64_t alignment, struct elf_notes *notes, struct error *error);

#endif
