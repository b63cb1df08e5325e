/* SPDX-License-Identifier: Apache-2.0 */
/* loader: what the loaders of kernel formats share; internal to boot/. */
#ifndef BOOT_LOADER_H
#define BOOT_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "boot/boot.h"
#include "mem/ram.h"

/* A file to load from, of the length it had when it was opened. Where it has become shorter since,
 * reads fail. */
struct boot_file {
	int fd;
	uint64_t bytes;
	const char *name; /* never NULL */
};

/* The beginning of a kernel file, read once: a header is judged and used from this copy, whatever
 * happens to the file. */
#define BOOT_HEAD_BYTES 4096
struct boot_head {
	uint64_t bytes; /* how much of data is the file's; the rest is zero */
	uint8_t data[BOOT_HEAD_BYTES];
};

/* The setup header inside a zero page: from 0x1f1 up to the next field (boot.rst, zero-page.rst).
 */
#define SETUP_HEADER_OFFSET    0x1f1
#define SETUP_HEADER_END       0x290
#define SETUP_HEADER_BYTES_MAX (SETUP_HEADER_END - SETUP_HEADER_OFFSET)

/* A kernel that lies in memory, and what it asks of the rest. */
struct boot_kernel {
	enum boot_protocol protocol;
	const char *format;
	uint64_t entry;
	uint64_t gpa, end;         /* [gpa, end) is the kernel's, up to where it can manage */
	uint64_t cmdline_capacity; /* bytes, with the terminator */
	uint64_t initrd_limit;     /* the initrd ends at or below ... */
	bool initrd_anywhere;      /* ... unless it would not fit there: any RAM will do */
	uint8_t setup_header[SETUP_HEADER_BYTES_MAX]; /* BOOT_LINUX64: for the zero page */
};

/* The initrd and command line where they lie in memory. */
struct boot_payload {
	uint64_t initrd_gpa, initrd_bytes;
	uint64_t cmdline_gpa;
};

/* Reads bytes of the file at offset. -ENODATA where the file is too short, or a read error. */
int boot_read(const struct boot_file *file, uint64_t offset, void *data, uint64_t bytes,
	      struct error *error);

/* The same into RAM at gpa; -EFBIG where that is not RAM. bytes may be 0. */
int boot_read_ram(const struct ram *ram, const struct boot_file *file, uint64_t offset,
		  uint64_t gpa, uint64_t bytes, struct error *error);

/* For error texts: bytes in MiB, rounded up; and the memory size in MiB, a multiple of huge pages,
 * that has low_bytes of low RAM. */
uint64_t boot_mib(uint64_t bytes);
uint64_t boot_memory_for(uint64_t low_bytes);

/* -EFBIG with what to do where the kernel's [gpa, end) is not wholly inside low RAM from
 * LAYOUT_KERNEL on. */
int boot_check_fit(const struct ram *ram, const struct boot_file *file, uint64_t gpa, uint64_t end,
		   struct error *error);

/* Formats: *_is() looks at the head only; *_load() judges, reads into RAM and fills *kernel. */
bool bzimage_is(const struct boot_head *head);
int bzimage_load(const struct ram *ram, const struct boot_file *file, const struct boot_head *head,
		 struct boot_kernel *kernel, struct error *error);
bool elf_is(const struct boot_head *head);
int elf_load(const struct ram *ram, const struct boot_file *file, const struct boot_head *head,
	     enum boot_choice choice, struct boot_kernel *kernel, struct error *error);

/* Places the initrd as high as the kernel takes it, behind the kernel, and reads it. -EFBIG with
 * the memory to give where there is no room. */
int initrd_load(const struct ram *ram, const struct boot_kernel *kernel,
		const struct boot_file *file, struct boot_payload *payload, struct error *error);

/* The same with an archive made of a directory tree. -EFBIG also where the guest could not unpack
 * it. */
int initrd_pack(const struct ram *ram, const struct boot_kernel *kernel, const struct tree *tree,
		const struct tree_progress *progress, struct boot_payload *payload,
		struct error *error);

/* Protocols: write what the kernel's first instruction expects to find; return its address. */
uint64_t linux64_write_info(const struct ram *ram, const struct boot_kernel *kernel,
			    const struct boot_payload *payload);
uint64_t pvh_write_info(const struct ram *ram, const struct boot_payload *payload);

/* The setup header of a kernel that came without one (ELF). */
void linux64_make_setup_header(struct boot_kernel *kernel);

#endif
