/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_frame: what a hostile guest may send in place of init's frames: never more is taken out than
 * was put in, lengths are those the types have, and a reader that is asked again goes on. Then the
 * words of init's settings. */
#include <stdlib.h>
#include <string.h>

#include "tools/init/frame.h"
#include "tools/init/settings.h"

static struct frame_reader reader;
static volatile uint8_t sink;

static void require(int condition)
{
	if (!condition)
		abort();
}

static void read_frames(const uint8_t *data, size_t bytes, size_t step)
{
	size_t put = 0, taken = 0;

	memset(&reader, 0, sizeof(reader));
	while (put < bytes) {
		struct frame frame;
		size_t room;
		uint8_t *to = frame_room(&reader, &room);
		size_t part = bytes - put < step ? bytes - put : step;
		int ret;

		require(room > 0);
		part = part < room ? part : room;
		memcpy(to, data + put, part);
		frame_came(&reader, part);
		put += part;
		while ((ret = frame_next(&reader, &frame)) > 0) {
			require(frame.bytes <= FRAME_BYTES_MAX);
			require(frame.type >= FRAME_HELLO && frame.type <= FRAME_CLOSED);
			for (uint32_t i = 0; i < frame.bytes; i++)
				sink = frame.data[i]; /* all of it can be read */
			taken += FRAME_HEAD + frame.bytes;
			require(taken <= put);
			if (frame.bytes == 4)
				(void)frame_number(&frame);
		}
		if (ret < 0)
			return;
	}
}

static void read_settings(const uint8_t *data, size_t bytes)
{
	static struct settings settings;
	char *text = malloc(bytes + 1);

	require(text != NULL);
	memcpy(text, data, bytes);
	text[bytes] = 0;
	if (settings_parse(&settings, text, bytes + 1) == 0) {
		require(settings.arguments[0] != NULL);
		require(settings.workdir != NULL && settings.hostname != NULL);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (!bytes)
		return 0;
	if (data[0] & 1)
		read_settings(data + 1, bytes - 1);
	else
		read_frames(data + 1, bytes - 1, 1 + (size_t)(data[0] >> 1) * 300);
	return 0;
}
