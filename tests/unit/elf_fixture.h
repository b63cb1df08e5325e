/* SPDX-License-Identifier: Apache-2.0 */
/* elf_fixture: ELF kernels of both classes, made field by field. */
#ifndef TESTS_UNIT_ELF_FIXTURE_H
#define TESTS_UNIT_ELF_FIXTURE_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"

#define ELF_FILE_BYTES  16384
#define ELF_DATA_OFFSET 4096 /* of the first segment's bytes */

struct elf_file {
	bool wide;
	uint64_t bytes;
	uint32_t count;
	_Alignas(8) uint8_t data[ELF_FILE_BYTES];
};

static inline Elf64_Ehdr *elf_header64(struct elf_file *elf)
{
	return (Elf64_Ehdr *)(void *)elf->data;
}

static inline Elf32_Ehdr *elf_header32(struct elf_file *elf)
{
	return (Elf32_Ehdr *)(void *)elf->data;
}

static inline Elf64_Phdr *elf_segment64(struct elf_file *elf, uint32_t index)
{
	return (Elf64_Phdr *)(void *)(elf->data + sizeof(Elf64_Ehdr)) + index;
}

static inline Elf32_Phdr *elf_segment32(struct elf_file *elf, uint32_t index)
{
	return (Elf32_Phdr *)(void *)(elf->data + sizeof(Elf32_Ehdr)) + index;
}

static inline void elf_begin(struct elf_file *elf, bool wide, uint32_t entry)
{
	memset(elf, 0, sizeof(*elf));
	elf->wide = wide;
	elf->bytes = ELF_DATA_OFFSET;
	if (wide)
		*elf_header64(elf) = (Elf64_Ehdr){
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = entry,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
		};
	else
		*elf_header32(elf) = (Elf32_Ehdr){
			.e_type = ET_EXEC,
			.e_machine = EM_386,
			.e_version = EV_CURRENT,
			.e_entry = entry,
			.e_phoff = sizeof(Elf32_Ehdr),
			.e_ehsize = sizeof(Elf32_Ehdr),
			.e_phentsize = sizeof(Elf32_Phdr),
		};
	memcpy(elf->data, ELFMAG, SELFMAG);
	elf->data[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
	elf->data[EI_DATA] = ELFDATA2LSB;
	elf->data[EI_VERSION] = EV_CURRENT;
}

/* Appends a segment with its bytes; data NULL: a pattern. */
static inline void elf_add(struct elf_file *elf, uint32_t type, uint32_t gpa, const void *data,
			   uint32_t file_bytes, uint32_t memory_bytes)
{
	uint32_t i;

	if (elf->wide) {
		elf_header64(elf)->e_phnum++;
		*elf_segment64(elf, elf->count) = (Elf64_Phdr){
			.p_type = type,
			.p_offset = elf->bytes,
			.p_paddr = gpa,
			.p_filesz = file_bytes,
			.p_memsz = memory_bytes,
			.p_align = 4,
		};
	} else {
		elf_header32(elf)->e_phnum++;
		*elf_segment32(elf, elf->count) = (Elf32_Phdr){
			.p_type = type,
			.p_offset = (uint32_t)elf->bytes,
			.p_paddr = gpa,
			.p_filesz = file_bytes,
			.p_memsz = memory_bytes,
			.p_align = 4,
		};
	}
	for (i = 0; i < file_bytes; i++)
		elf->data[elf->bytes + i] =
			data ? ((const uint8_t *)data)[i] : (uint8_t)(i * 3 + elf->count + 1);
	elf->bytes += file_bytes;
	elf->count++;
}

/* A note at out; returns its length. Name and descriptor are padded to 4 bytes. */
static inline uint32_t elf_note(uint8_t *out, const char *name, uint32_t type, const void *data,
				uint32_t bytes)
{
	uint32_t name_bytes = (uint32_t)strlen(name) + 1;
	uint32_t name_padded = (name_bytes + 3) & ~3u;
	uint32_t padded = (bytes + 3) & ~3u;

	memset(out, 0, 12 + name_padded + padded);
	store_le32(out, name_bytes);
	store_le32(out + 4, bytes);
	store_le32(out + 8, type);
	memcpy(out + 12, name, name_bytes);
	memcpy(out + 12 + name_padded, data, bytes);
	return 12 + name_padded + padded;
}

/* XEN_ELFNOTE_PHYS32_ENTRY, in 4 or 8 bytes. */
static inline uint32_t elf_pvh_note(uint8_t *out, uint64_t entry, uint32_t bytes)
{
	uint8_t value[8];

	store_le64(value, entry);
	return elf_note(out, "Xen", 18, value, bytes);
}

#endif
