/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame: what stet and its init tell each other over one virtio socket while a command runs.
 *
 * A frame is its type (a byte), three zero bytes, the length of what follows (32 bits, little
 * endian) and that. Input flows as far as the guest has room for it, so that signals behind it are
 * not held up by a command that does not read; the other way the socket's own credit is enough.
 */
#ifndef TOOLS_INIT_FRAME_H
#define TOOLS_INIT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "stet" */
#define FRAME_PORT      0x73746574U
#define FRAME_VERSION   1
#define FRAME_HEAD      8
#define FRAME_BYTES_MAX 32768
#define FRAME_WINDOW    65536 /* of input that the guest keeps for the command */

enum frame_type {
	/* From the guest. */
	FRAME_HELLO = 1, /* the version, 32 bits; the command starts now */
	FRAME_OUT,       /* standard output, or the terminal's */
	FRAME_ERR,       /* standard error */
	FRAME_TAKEN,     /* so many bytes of input are gone, 32 bits */
	FRAME_EXIT,      /* the exit code, 32 bits; last: all output came before */
	FRAME_FAIL,      /* a line of text: why there is no command */
	/* To the guest. */
	FRAME_IN,     /* standard input, at most FRAME_WINDOW not taken */
	FRAME_IN_END, /* and no more of it */
	FRAME_SIGNAL, /* its number, 32 bits */
	FRAME_SIZE,   /* columns and rows of the terminal, 16 bits each */
	FRAME_CLOSED, /* nobody reads FRAME_OUT or FRAME_ERR (32 bits, which) any more */
};

struct frame {
	uint8_t type;
	uint32_t bytes;
	const uint8_t *data; /* inside the reader, until its next call */
};

/* Bytes as they come, cut into frames. Zeroed to begin with. */
struct frame_reader {
	size_t at, end; /* [at, end) is not used yet */
	uint8_t buffer[FRAME_HEAD + FRAME_BYTES_MAX];
};

/* Where the next bytes go, and how many; then how many came. There is always room after
 * frame_next() returned 0. */
uint8_t *frame_room(struct frame_reader *reader, size_t *bytes);
void frame_came(struct frame_reader *reader, size_t bytes);

/* 1 with a frame, 0 when more bytes are needed, -EPROTO for what is no frame: too long, an unknown
 * type, not of the length that its type has. */
int frame_next(struct frame_reader *reader, struct frame *frame);

/* The 32 bits that a frame consists of. */
uint32_t frame_number(const struct frame *frame);

/* Frames on their way out. Zeroed to begin with. */
struct frame_writer {
	size_t at, end;
	uint8_t buffer[2 * (FRAME_HEAD + FRAME_BYTES_MAX)];
};

/* Appends a frame; false, with nothing done, where there is no room. Small ones fit as long as
 * frame_data_room() is asked before large ones. */
bool frame_put(struct frame_writer *writer, enum frame_type type, const void *data, size_t bytes);
bool frame_put_number(struct frame_writer *writer, enum frame_type type, uint32_t number);

/* So many bytes of data may be put in one frame now and leave room for small ones; 0: none. */
size_t frame_data_room(const struct frame_writer *writer);

bool frame_waiting(const struct frame_writer *writer);

/* Sends what fd takes. 0 (also where it takes no more now) or a negative errno. */
int frame_send(struct frame_writer *writer, int fd);

#endif
