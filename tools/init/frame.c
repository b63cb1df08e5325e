/* SPDX-License-Identifier: Apache-2.0 */
/* frame: what stet and its init tell each other over one virtio socket while a command runs. */
#include "tools/init/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Kept free for signals and the like. */
#define SMALL_ROOM 1024

static uint32_t load_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

static void store_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

uint8_t *frame_room(struct frame_reader *reader, size_t *bytes)
{
	if (reader->at) {
		memmove(reader->buffer, reader->buffer + reader->at, reader->end - reader->at);
		reader->end -= reader->at;
		reader->at = 0;
	}
	*bytes = sizeof(reader->buffer) - reader->end;
	return reader->buffer + reader->end;
}

void frame_came(struct frame_reader *reader, size_t bytes)
{
	reader->end += bytes;
}

/* Whether a frame of this type may be so long. */
static bool length_fits(uint8_t type, uint32_t bytes)
{
	switch (type) {
	case FRAME_HELLO:
	case FRAME_TAKEN:
	case FRAME_EXIT:
	case FRAME_SIGNAL:
	case FRAME_SIZE:
	case FRAME_CLOSED:
		return bytes == 4;
	case FRAME_IN_END:
		return bytes == 0;
	case FRAME_OUT:
	case FRAME_ERR:
	case FRAME_FAIL:
	case FRAME_IN:
		return bytes > 0 && bytes <= FRAME_BYTES_MAX;
	default:
		return false;
	}
}

int frame_next(struct frame_reader *reader, struct frame *frame)
{
	const uint8_t *head = reader->buffer + reader->at;
	size_t there = reader->end - reader->at;
	uint32_t bytes;

	if (there < FRAME_HEAD)
		return 0;
	bytes = load_u32(head + 4);
	if (head[1] || head[2] || head[3] || !length_fits(head[0], bytes))
		return -EPROTO;
	if (there - FRAME_HEAD < bytes)
		return 0;
	*frame = (struct frame){ head[0], bytes, head + FRAME_HEAD };
	reader->at += FRAME_HEAD + bytes;
	return 1;
}

uint32_t frame_number(const struct frame *frame)
{
	return load_u32(frame->data);
}

bool frame_put(struct frame_writer *writer, enum frame_type type, const void *data, size_t bytes)
{
	uint8_t *head;

	if (writer->at == writer->end)
		writer->at = writer->end = 0;
	if (bytes > FRAME_BYTES_MAX || sizeof(writer->buffer) - writer->end < FRAME_HEAD + bytes)
		return false;
	head = writer->buffer + writer->end;
	memset(head, 0, FRAME_HEAD);
	head[0] = (uint8_t)type;
	store_u32(head + 4, (uint32_t)bytes);
	if (bytes)
		memcpy(head + FRAME_HEAD, data, bytes);
	writer->end += FRAME_HEAD + bytes;
	return true;
}

bool frame_put_number(struct frame_writer *writer, enum frame_type type, uint32_t number)
{
	uint8_t data[4];

	store_u32(data, number);
	return frame_put(writer, type, data, sizeof(data));
}

size_t frame_data_room(const struct frame_writer *writer)
{
	size_t end = writer->at == writer->end ? 0 : writer->end;
	size_t left = sizeof(writer->buffer) - end;

	if (left <= FRAME_HEAD + SMALL_ROOM)
		return 0;
	left -= FRAME_HEAD + SMALL_ROOM;
	return left < FRAME_BYTES_MAX ? left : FRAME_BYTES_MAX;
}

bool frame_waiting(const struct frame_writer *writer)
{
	return writer->at != writer->end;
}

int frame_send(struct frame_writer *writer, int fd)
{
	while (frame_waiting(writer)) {
		ssize_t n = send(fd, writer->buffer + writer->at, writer->end - writer->at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		writer->at += (size_t)n;
	}
	return 0;
}
