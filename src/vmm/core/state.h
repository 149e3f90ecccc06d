/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_CORE_STATE_H
#define VMM_CORE_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One writer makes one stream of sections; each section belongs to one device. */
typedef struct _VmmStateWriter VmmStateWriter;

VmmStateWriter *vmm_state_writer_new (void);
void vmm_state_writer_free (VmmStateWriter *writer);
void vmm_state_writer_begin (VmmStateWriter *writer, const char *tag, uint32_t version);
void vmm_state_writer_end (VmmStateWriter *writer);
void vmm_state_put_u8 (VmmStateWriter *writer, uint8_t value);
void vmm_state_put_u16 (VmmStateWriter *writer, uint16_t value);
void vmm_state_put_u32 (VmmStateWriter *writer, uint32_t value);
void vmm_state_put_u64 (VmmStateWriter *writer, uint64_t value);
void vmm_state_put_bool (VmmStateWriter *writer, bool value);
void vmm_state_put_bytes (VmmStateWriter *writer, const void *data, uint32_t len);
GBytes *vmm_state_writer_finish (VmmStateWriter *writer);

/*
 * A reader takes the same fields in the same order. Every get returns false once anything was wrong, and
 * leaves its output untouched; the first fault is what vmm_state_reader_leave() reports. Input is hostile.
 */
typedef struct _VmmStateReader VmmStateReader;

VmmStateReader *vmm_state_reader_new (GBytes *bytes);
void vmm_state_reader_free (VmmStateReader *reader);
bool vmm_state_reader_enter (VmmStateReader *reader, const char *tag, uint32_t max_version,
                             uint32_t *ret_version, GError **error);
bool vmm_state_get_u8 (VmmStateReader *reader, uint8_t *ret_value);
bool vmm_state_get_u16 (VmmStateReader *reader, uint16_t *ret_value);
bool vmm_state_get_u32 (VmmStateReader *reader, uint32_t *ret_value);
bool vmm_state_get_u64 (VmmStateReader *reader, uint64_t *ret_value);
bool vmm_state_get_bool (VmmStateReader *reader, bool *ret_value);
bool vmm_state_get_bytes (VmmStateReader *reader, void *buf, uint32_t cap, uint32_t *ret_len);
bool vmm_state_reader_leave (VmmStateReader *reader, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmStateWriter, vmm_state_writer_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmStateReader, vmm_state_reader_free)

#endif
