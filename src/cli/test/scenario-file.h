/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scenario as it is written: groups of keys with values, with the place of each. Nothing here knows what
 * the keys mean, but for "defaults" of [test], which names more files.
 */
#ifndef CLI_TEST_SCENARIO_FILE_H
#define CLI_TEST_SCENARIO_FILE_H

#include <stdbool.h>

#include <glib.h>

#define TEST_FILE_BYTES_MAX (1u << 20)
#define TEST_FILE_KEYS_MAX 10000u
#define TEST_VALUE_MAX 65536u
#define TEST_NAME_MAX 200u

/**
 * TestSource:
 * @path: as it was named
 * @folder: absolute: what ${dir} means
 *
 * Where a line stands: a file, or an option of the command.
 */
typedef struct {
    char *path;
    char *folder;
} TestSource;

/**
 * TestEntry:
 * @key: as written, without blanks around it: "disk scratch"
 * @value: as written, without blanks around it
 * @source: borrowed
 * @line: from 1; 0: no line of a file
 * @fixed: in place of an axis of the matrix: it is one value, whatever is in it
 */
typedef struct {
    char *key;
    char *value;
    const TestSource *source;
    unsigned line;
    bool fixed;
} TestEntry;

/**
 * TestGroup:
 * @title: what is in the brackets: "step log in"
 * @kind: its first word: "step"
 * @name: the rest: "log in"; "" when there is none
 * @entries: of TestEntry
 * @source: borrowed; of its first line
 * @line: from 1; 0: no line of a file
 */
typedef struct {
    char *title;
    char *kind;
    char *name;
    GPtrArray *entries;
    const TestSource *source;
    unsigned line;
} TestGroup;

/**
 * TestFile:
 * @sources: of TestSource: the scenario's own is the first
 * @groups: of TestGroup, in order, those of defaults first
 */
typedef struct {
    GPtrArray *sources;
    GPtrArray *groups;
} TestFile;

TestFile *test_file_load (const char *path, GError **error);
TestFile *test_file_parse (const char *text, size_t len, const char *path, GError **error);
void test_file_free (TestFile *file);
const TestSource *test_file_add_source (TestFile *file, const char *path, const char *folder);
TestGroup *test_file_find (const TestFile *file, const char *title);
TestGroup *test_file_get (TestFile *file, const char *title);

TestGroup *test_group_new (const char *title, const TestSource *source, unsigned line);
void test_group_free (TestGroup *group);
TestEntry *test_group_find (const TestGroup *group, const char *key);
TestEntry *test_group_add (TestGroup *group, const char *key, const char *value, const TestSource *source,
                           unsigned line);

GPtrArray *test_scan (const char *text, size_t len, const TestSource *source, GError **error);

bool test_refuse_at (const TestSource *source, unsigned line, GError **error, const char *format, ...)
    G_GNUC_PRINTF (4, 5);
bool test_refuse (const TestGroup *group, const TestEntry *entry, const char *value, const char *why,
                  GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestFile, test_file_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestGroup, test_group_free)

#endif
