/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_ARCH_X86_64_AML_H
#define VMM_ARCH_X86_64_AML_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Each begin gives the mark that its end takes; what is put between the two is inside. Names are one segment
 * of one to four characters, with a '\' before it for the root.
 */
size_t vmm_aml_begin_scope (GByteArray *aml, const char *name);
size_t vmm_aml_begin_device (GByteArray *aml, const char *name);
size_t vmm_aml_begin_method (GByteArray *aml, const char *name, unsigned n_args, bool serialized);
size_t vmm_aml_begin_if (GByteArray *aml);
size_t vmm_aml_begin_package (GByteArray *aml, uint8_t n_elements);
size_t vmm_aml_begin_field (GByteArray *aml, const char *region);
void vmm_aml_end (GByteArray *aml, size_t mark);
size_t vmm_aml_begin_resources (GByteArray *aml);
void vmm_aml_end_resources (GByteArray *aml, size_t mark);

/* Objects and terms. */
void vmm_aml_name (GByteArray *aml, const char *name);
void vmm_aml_ref (GByteArray *aml, const char *name);
void vmm_aml_integer (GByteArray *aml, uint64_t value);
void vmm_aml_string (GByteArray *aml, const char *string);
void vmm_aml_eisa_id (GByteArray *aml, const char *id);
void vmm_aml_port_region (GByteArray *aml, const char *name, uint16_t port, uint8_t size);
void vmm_aml_field_unit (GByteArray *aml, const char *name, uint8_t bits);
void vmm_aml_return_arg (GByteArray *aml, unsigned arg);
void vmm_aml_and (GByteArray *aml, const char *name, uint64_t mask);
void vmm_aml_notify (GByteArray *aml, const char *device, uint8_t value);

/* Resource descriptors. */
void vmm_aml_io (GByteArray *aml, uint16_t port, uint8_t size);
void vmm_aml_irq (GByteArray *aml, unsigned irq);
void vmm_aml_edge_interrupt (GByteArray *aml, uint32_t gsi);
void vmm_aml_level_interrupt (GByteArray *aml, uint32_t gsi);
void vmm_aml_memory32_fixed (GByteArray *aml, uint32_t base, uint32_t size);
void vmm_aml_bus_range (GByteArray *aml, uint16_t first, uint16_t last);
void vmm_aml_memory32_window (GByteArray *aml, uint32_t base, uint32_t size);
void vmm_aml_memory64_window (GByteArray *aml, uint64_t base, uint64_t size);

#endif
