/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes one report for the tests: `report-main FORMAT` reads a document from standard input. FORMAT document
 * takes an array of results instead, and puts them together: with repeats, but for any word behind it. FORMAT
 * all takes an array of documents, and writes how many bytes their reports have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report-document.h"
#include "report-github.h"
#include "report-html.h"
#include "report-junit.h"
#include "report-summary.h"
#include "report-tap.h"

static char *
put_together (json_t *results, bool repeats)
{
    static const char *const words[] = {"vmm", "test", "--html", "it's.html", "tests", NULL};
    const TestDocumentFacts facts = {.version = "0.1.0",
                                     .started = "2026-01-02T03:04:05Z",
                                     .seconds = 12.5,
                                     .command_line = words,
                                     .repeats = repeats};
    json_t *document = test_document_new (results, &facts);
    char *text = test_document_to_text (document);

    json_decref (document);
    return text;
}

static char *
write_report (json_t *input, const char *format, const char *argument)
{
    if (g_str_equal (format, "document"))
        return put_together (input, argument == NULL);
    if (g_str_equal (format, "junit"))
        return test_report_junit (input);
    if (g_str_equal (format, "tap"))
        return test_report_tap (input);
    if (g_str_equal (format, "github"))
        return test_report_github (input, argument);
    if (g_str_equal (format, "summary"))
        return test_report_summary (input, argument != NULL);
    if (g_str_equal (format, "html"))
        return test_report_html (input);
    return NULL;
}

static char *
write_all (json_t *documents)
{
    static const char *const formats[] = {"junit", "tap", "github", "summary", "html"};
    size_t bytes = 0;

    for (size_t i = 0; i < json_array_size (documents); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS (formats); j++) {
            g_autofree char *text = write_report (json_array_get (documents, i), formats[j], NULL);

            bytes += strlen (text);
        }
    }
    return g_strdup_printf ("%zu\n", bytes);
}

int
main (int argc, char **argv)
{
    json_error_t wrong;
    json_t *input = json_loadf (stdin, JSON_ALLOW_NUL | JSON_DECODE_ANY, &wrong);
    g_autofree char *text = NULL;

    if (input == NULL || argc < 2) {
        fprintf (stderr, "report-main: %s\n", input == NULL ? wrong.text : "say which format");
        return 2;
    }
    text = g_str_equal (argv[1], "all") ? write_all (input) : write_report (input, argv[1], argv[2]);
    if (text != NULL)
        fputs (text, stdout);
    json_decref (input);
    return text != NULL ? 0 : 2;
}
