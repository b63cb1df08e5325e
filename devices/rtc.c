/* SPDX-License-Identifier: Apache-2.0 */
/* rtc: MC146818 real-time clock and CMOS memory (Motorola MC146818 data sheet). */
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "devices/platform.h"

#define CMOS_BYTES 128

enum {
	RTC_SECONDS = 0x00,
	RTC_MINUTES = 0x02,
	RTC_HOURS = 0x04,
	RTC_WEEKDAY = 0x06, /* 1 is Sunday */
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	RTC_CENTURY = 0x32, /* named by the FADT */
};

#define A_UPDATING 0x80
#define A_DEFAULT  0x26 /* 32.768 kHz time base, 1024 Hz periodic rate */
#define B_SET      0x80
#define B_BINARY   0x04
#define B_24H      0x02
#define D_VALID    0x80 /* the battery is good */
#define HOURS_PM   0x80

/* Register A shows an update 244 us before it happens (its "buffer time" t_BUC). */
#define UPDATE_WARNING_NS 244000
#define NS_PER_SECOND     1000000000L

/* The year wraps here, as two digits of century do: it cannot be made to grow by carries. */
#define YEARS 10000

/* Lock: device.lock. The guest's clock is CLOCK_REALTIME plus offset_s, or stands at set_time while
 * B.SET is on. */
struct rtc {
	struct device device;
	uint8_t index;
	int64_t offset_s;
	struct tm set_time;
	uint8_t cmos[CMOS_BYTES]; /* time registers and A.UIP are made when read */
};

static struct rtc *to_rtc(struct device *device)
{
	return (struct rtc *)device;
}

static uint8_t encode(const struct rtc *rtc, int value)
{
	value = (value % 100 + 100) % 100;
	if (rtc->cmos[RTC_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[RTC_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hours(const struct rtc *rtc, int hours)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return encode(rtc, hours);
	return encode(rtc, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

static int decode_hours(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & ~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static struct tm guest_time(const struct rtc *rtc)
{
	time_t now = time(NULL) + rtc->offset_s;
	struct tm tm = { 0 };

	if (rtc->cmos[RTC_B] & B_SET)
		return rtc->set_time;
	gmtime_r(&now, &tm);
	return tm;
}

/* The clock goes on from tm. Fields out of range carry over, as timegm() does. */
static void start_from(struct rtc *rtc, struct tm tm)
{
	rtc->offset_s = timegm(&tm) - time(NULL);
}

static bool is_time_register(uint8_t index)
{
	switch (index) {
	case RTC_SECONDS:
	case RTC_MINUTES:
	case RTC_HOURS:
	case RTC_WEEKDAY:
	case RTC_DAY:
	case RTC_MONTH:
	case RTC_YEAR:
	case RTC_CENTURY:
		return true;
	default:
		return false;
	}
}

static uint8_t read_time(const struct rtc *rtc, uint8_t index)
{
	struct tm tm = guest_time(rtc);

	switch (index) {
	case RTC_SECONDS:
		return encode(rtc, tm.tm_sec);
	case RTC_MINUTES:
		return encode(rtc, tm.tm_min);
	case RTC_HOURS:
		return encode_hours(rtc, tm.tm_hour);
	case RTC_WEEKDAY:
		return encode(rtc, tm.tm_wday + 1);
	case RTC_DAY:
		return encode(rtc, tm.tm_mday);
	case RTC_MONTH:
		return encode(rtc, tm.tm_mon + 1);
	case RTC_YEAR:
		return encode(rtc, tm.tm_year);
	default:
		return encode(rtc, (tm.tm_year + 1900) / 100);
	}
}

static void write_time(struct rtc *rtc, uint8_t index, uint8_t value)
{
	struct tm tm = guest_time(rtc);
	int year = ((tm.tm_year + 1900) % YEARS + YEARS) % YEARS;

	tm.tm_year = year - 1900;
	switch (index) {
	case RTC_SECONDS:
		tm.tm_sec = decode(rtc, value);
		break;
	case RTC_MINUTES:
		tm.tm_min = decode(rtc, value);
		break;
	case RTC_HOURS:
		tm.tm_hour = decode_hours(rtc, value);
		break;
	case RTC_DAY:
		tm.tm_mday = decode(rtc, value);
		break;
	case RTC_MONTH:
		tm.tm_mon = decode(rtc, value) - 1;
		break;
	case RTC_YEAR:
		tm.tm_year = year / 100 * 100 + decode(rtc, value) % 100 - 1900;
		break;
	case RTC_CENTURY:
		tm.tm_year = decode(rtc, value) % 100 * 100 + year % 100 - 1900;
		break;
	default:
		return; /* the weekday follows from the date */
	}
	if (rtc->cmos[RTC_B] & B_SET)
		rtc->set_time = tm;
	else
		start_from(rtc, tm);
}

/* B.SET stops the clock so that it can be set, and starts it again. */
static void write_b(struct rtc *rtc, uint8_t value)
{
	struct tm tm = guest_time(rtc);
	bool was_set = rtc->cmos[RTC_B] & B_SET;

	if (value & B_SET)
		rtc->set_time = tm;
	else if (was_set)
		start_from(rtc, tm);
	rtc->cmos[RTC_B] = value;
}

static uint8_t read_a(const struct rtc *rtc)
{
	struct timespec now;
	bool updating;

	clock_gettime(CLOCK_REALTIME, &now);
	updating = !(rtc->cmos[RTC_B] & B_SET) && now.tv_nsec >= NS_PER_SECOND - UPDATE_WARNING_NS;
	return rtc->cmos[RTC_A] | (updating ? A_UPDATING : 0);
}

static void rtc_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct rtc *rtc = to_rtc(device);

	if (size != 1 || offset != 1)
		return; /* the index cannot be read */
	if (is_time_register(rtc->index))
		*value = read_time(rtc, rtc->index);
	else if (rtc->index == RTC_A)
		*value = read_a(rtc);
	else
		*value = rtc->cmos[rtc->index];
}

static void rtc_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct rtc *rtc = to_rtc(device);
	uint8_t byte = (uint8_t)value;

	if (size != 1)
		return;
	if (offset == 0) {
		rtc->index = byte % CMOS_BYTES; /* bit 7 masks NMI: there is none */
		return;
	}
	if (is_time_register(rtc->index))
		write_time(rtc, rtc->index, byte);
	else if (rtc->index == RTC_A)
		rtc->cmos[RTC_A] = byte & ~A_UPDATING;
	else if (rtc->index == RTC_B)
		write_b(rtc, byte);
	else if (rtc->index != RTC_C && rtc->index != RTC_D)
		rtc->cmos[rtc->index] = byte;
}

/* A battery keeps the clock and the CMOS over a reset; only interrupts and the index are reset. */
static void rtc_reset(struct device *device)
{
	struct rtc *rtc = to_rtc(device);

	rtc->index = 0;
	rtc->cmos[RTC_B] &= B_SET | B_BINARY | B_24H | 0x01;
}

static void rtc_destroy(struct device *device)
{
	device_fini(device);
	free(to_rtc(device));
}

static const struct device_ops rtc_ops = {
	.name = "rtc",
	.read = rtc_read,
	.write = rtc_write,
	.reset = rtc_reset,
	.destroy = rtc_destroy,
};

struct device *rtc_create(void)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));

	if (!rtc)
		return NULL;
	device_init(&rtc->device, &rtc_ops);
	rtc->cmos[RTC_A] = A_DEFAULT;
	rtc->cmos[RTC_B] = B_24H;
	rtc->cmos[RTC_D] = D_VALID;
	return &rtc->device;
}
