/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TEST_RECORD_H
#define CLI_TEST_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmm/vmm.h>

typedef struct _TestRecord TestRecord;

TestRecord *test_record_new (void);
void test_record_free (TestRecord *record);
void test_record_keep_secrets (TestRecord *record, bool keep);
void test_record_set (TestRecord *record, const char *key, const char *value);
void test_record_output (TestRecord *record, const uint8_t *data, size_t len, double t);
void test_record_typed (TestRecord *record, const uint8_t *data, size_t len, double t);
void test_record_power_button (TestRecord *record, double t);
void test_record_break (TestRecord *record, double t);
void test_record_end (TestRecord *record, const VmmVerdict *verdict, double t);
char *test_record_to_scenario (const TestRecord *record);
bool test_record_is_full (const TestRecord *record);
bool test_record_lacks_secrets (const TestRecord *record);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestRecord, test_record_free)

#endif
