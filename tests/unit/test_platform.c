/* SPDX-License-Identifier: Apache-2.0 */
/* test_platform: what ends the machine or marks a moment, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/platform.h"

static struct {
	unsigned int events;
	enum machine_event last;
	uint8_t value;
	unsigned int interrupts;
	bool level;
} seen;

static void on_event(void *opaque, enum machine_event event, uint8_t value)
{
	assert_ptr_equal(opaque, &seen);
	seen.events++;
	seen.last = event;
	seen.value = value;
}

static void on_irq(void *opaque, unsigned int gsi, bool level)
{
	assert_ptr_equal(opaque, &seen);
	assert_int_equal(gsi, 9);
	seen.interrupts += level;
	seen.level = level;
}

static const struct machine machine = { .event = on_event, .opaque = &seen };

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	return 0;
}

static uint64_t get(struct device *device, uint64_t offset, uint32_t size)
{
	uint64_t value = UINT64_MAX;

	device->ops->read(device, offset, size, &value);
	return value;
}

static void put(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	device->ops->write(device, offset, size, value);
}

static void test_i8042(void **state)
{
	struct device *device = i8042_create(&machine);

	(void)state;
	assert_int_equal(get(device, 4, 1), 0); /* ready for a command */
	assert_int_equal(get(device, 0, 1), 0);
	assert_true(get(device, 1, 1) == UINT64_MAX);
	assert_true(get(device, 0, 2) == UINT64_MAX);
	put(device, 4, 1, 0xff); /* pulses nothing */
	put(device, 4, 1, 0xaa);
	put(device, 0, 1, 0xfe);
	put(device, 0, 4, 0xfe);
	assert_int_equal(seen.events, 0);
	put(device, 4, 1, 0xfe);
	assert_int_equal(seen.events, 1);
	assert_int_equal(seen.last, MACHINE_RESET);
	put(device, 4, 1, 0xf0);
	assert_int_equal(seen.events, 2);
	device_destroy(device);
}

static void test_reset_register(void **state)
{
	struct device *device = reset_create(&machine);

	(void)state;
	put(device, 0, 1, 0x02);
	assert_int_equal(get(device, 0, 1), 0x02);
	assert_int_equal(seen.events, 0);
	put(device, 0, 1, 0x06);
	assert_int_equal(seen.events, 1);
	assert_int_equal(seen.last, MACHINE_RESET);
	put(device, 0, 1, 0x0e); /* it did not rise */
	assert_int_equal(seen.events, 1);
	device->ops->reset(device);
	assert_int_equal(get(device, 0, 1), 0);
	put(device, 0, 1, 0x06); /* as the ACPI reset register does */
	assert_int_equal(seen.events, 2);
	device_destroy(device);
}

static void test_pvpanic(void **state)
{
	struct device *device = pvpanic_create(&machine);

	(void)state;
	assert_int_equal(get(device, 0, 1), 3);
	put(device, 0, 1, 0);
	put(device, 0, 1, 0xfc);
	assert_int_equal(seen.events, 0);
	put(device, 0, 1, 2);
	assert_int_equal(seen.last, MACHINE_CRASH_LOADED);
	put(device, 0, 1, 1);
	assert_int_equal(seen.last, MACHINE_PANIC);
	assert_int_equal(seen.events, 2);
	device_destroy(device);
}

static void test_mark(void **state)
{
	struct device *device = mark_create(&machine);

	(void)state;
	assert_true(get(device, 0, 1) == UINT64_MAX);
	put(device, 0, 1, 0x42);
	assert_int_equal(seen.last, MACHINE_MARK);
	assert_int_equal(seen.value, 0x42);
	assert_int_equal(seen.events, 1);
	device_destroy(device);
}

static void test_acpi_sleep(void **state)
{
	const struct irq_line irq = { .set = on_irq, .opaque = &seen, .gsi = 9 };
	struct device *device = acpi_pm_create(&machine, &irq);

	(void)state;
	put(device, ACPI_PM_SLEEP_CONTROL, 1, 5 << 2); /* without SLP_EN */
	assert_int_equal(get(device, ACPI_PM_SLEEP_CONTROL, 1), 5 << 2);
	put(device, ACPI_PM_SLEEP_CONTROL, 1, 0x20 | 3 << 2); /* another state */
	put(device, ACPI_PM_SLEEP_STATUS, 1, 0x20 | 5 << 2);
	put(device, ACPI_PM_SLEEP_CONTROL, 2, 0x20 | 5 << 2);
	assert_int_equal(seen.events, 0);
	put(device, ACPI_PM_SLEEP_CONTROL, 1, 0x20 | 5 << 2);
	assert_int_equal(seen.events, 1);
	assert_int_equal(seen.last, MACHINE_POWEROFF);
	assert_int_equal(get(device, ACPI_PM_SLEEP_STATUS, 1), 0);
	device_destroy(device);
}

static void test_acpi_power_button(void **state)
{
	const struct irq_line irq = { .set = on_irq, .opaque = &seen, .gsi = 9 };
	struct device *device = acpi_pm_create(&machine, &irq);

	(void)state;
	assert_int_equal(get(device, ACPI_PM_EVENTS, 1), 0);
	acpi_pm_power_button(device);
	assert_true(seen.level); /* until it is read */
	assert_int_equal(get(device, ACPI_PM_EVENTS, 1), ACPI_PM_EVENT_POWER_BUTTON);
	assert_false(seen.level);
	assert_int_equal(get(device, ACPI_PM_EVENTS, 1), 0);
	acpi_pm_power_button(device);
	device->ops->reset(device);
	assert_false(seen.level);
	assert_int_equal(get(device, ACPI_PM_EVENTS, 1), 0);
	assert_int_equal(seen.events, 0);
	device_destroy(device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_i8042, setup),
		cmocka_unit_test_setup(test_reset_register, setup),
		cmocka_unit_test_setup(test_pvpanic, setup),
		cmocka_unit_test_setup(test_mark, setup),
		cmocka_unit_test_setup(test_acpi_sleep, setup),
		cmocka_unit_test_setup(test_acpi_power_button, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
