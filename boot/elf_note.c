/* SPDX-License-Identifier: Apache-2.0 */
/* elf_note: what the notes of an ELF kernel tell (System V gABI, "Note Section"). */
#include "boot/elf.h"

#include <errno.h>

#include "base/num.h"

#define NOTE_HEADER_BYTES             12 /* length of name, length of descriptor, type */
#define XEN_NOTE_PHYS32_ENTRY         18 /* Xen: public/elfnote.h */
#define NOTE_NAME_IS(name, len, text) ((len) == sizeof(text) && !memcmp(name, text, sizeof(text)))

/* Judges one note. Its parts lie inside the buffer: the caller made sure. */
static void look_at(struct elf_notes *notes, const uint8_t *name, uint64_t name_bytes,
		    const uint8_t *descriptor, uint64_t descriptor_bytes, uint32_t type)
{
	if (NOTE_NAME_IS(name, name_bytes, "Linux"))
		notes->linux_kernel = true;
	if (!NOTE_NAME_IS(name, name_bytes, "Xen") || type != XEN_NOTE_PHYS32_ENTRY)
		return;
	if (descriptor_bytes == 4)
		notes->pvh_entry = load_le32(descriptor);
	else if (descriptor_bytes == 8)
		notes->pvh_entry = load_le64(descriptor);
	else
		return;
	notes->pvh = true;
}

/* Each part of a note begins at the next multiple of alignment. */
static void walk(struct elf_notes *notes, const uint8_t *data, uint64_t bytes, uint64_t alignment)
{
	uint64_t at = 0;

	while (num_within(at, NOTE_HEADER_BYTES, bytes)) {
		uint64_t name_bytes = load_le32(data + at);
		uint64_t descriptor_bytes = load_le32(data + at + 4);
		uint32_t type = load_le32(data + at + 8);
		uint64_t name = at + NOTE_HEADER_BYTES;
		uint64_t descriptor = 0;

		/* 32-bit lengths: none of these sums can overflow. */
		(void)num_align_up(name + name_bytes, alignment, &descriptor);
		if (!num_within(descriptor, descriptor_bytes, bytes))
			return;
		look_at(notes, data + name, name_bytes, data + descriptor, descriptor_bytes, type);
		(void)num_align_up(descriptor + descriptor_bytes, alignment, &at);
	}
}

int elf_read_notes(const struct boot_file *file, uint64_t offset, uint64_t bytes,
		   uint64_t alignment, struct elf_notes *notes, struct error *error)
{
	uint8_t data[ELF_NOTE_BYTES_MAX];
	int result;

	if (!num_within(offset, bytes, file->bytes))
		return error_set(error, ENODATA, "%s: truncated: its notes are beyond its end",
				 file->name);
	bytes = num_min(bytes, sizeof(data));
	result = boot_read(file, offset, data, bytes, error);
	if (result)
		return result;
	walk(notes, data, bytes, alignment == 8 ? 8 : 4);
	return 0;
}
