/* SPDX-License-Identifier: Apache-2.0 */
/* elf_note: what the notes of an ELF kernel tell; internal to boot/. */
#ifndef BOOT_ELF_NOTE_H
#define BOOT_ELF_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "boot/loader.h"

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
int elf_note_read(const struct boot_file *file, uint64_t offset, uint64_t bytes, uint64_t alignment,
		  struct elf_notes *notes, struct error *error);

#endif
