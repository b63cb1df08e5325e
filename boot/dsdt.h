/* SPDX-License-Identifier: Apache-2.0 */
/* dsdt: the devices of the machine as ACPI names them; internal to boot/. */
#ifndef BOOT_DSDT_H
#define BOOT_DSDT_H

#include <stdint.h>

#include "boot/acpi_area.h"
#include "boot/boot.h"

/* Appends the DSDT; returns its guest-physical address. */
uint64_t dsdt_write(struct acpi_area *area, const struct acpi_machine *machine);

#endif
