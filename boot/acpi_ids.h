/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_ids: who the ACPI tables say they are by; padded with spaces to their fields. */
#ifndef BOOT_ACPI_IDS_H
#define BOOT_ACPI_IDS_H

#define ACPI_OEM_ID           "STET  "
#define ACPI_OEM_TABLE_ID     "STETVM  "
#define ACPI_OEM_REVISION     1
#define ACPI_CREATOR_ID       "STET"
#define ACPI_CREATOR_REVISION 1
#define ACPI_HYPERVISOR_ID    "STET    "

#endif
