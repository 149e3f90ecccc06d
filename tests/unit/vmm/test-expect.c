/* SPDX-License-Identifier: Apache-2.0 */
/* What is found in a stream, where, and that neither its pieces nor a costly pattern make a difference. */
#include "vmm/expect.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "vmm/error.h"

static void
add (VmmExpect *expect, unsigned id, const char *pattern, VmmExpectFlags flags)
{
    g_autoptr (GError) error = NULL;

    cr_assert (vmm_expect_add_pattern (expect, id, pattern, flags, &error), "%s",
               error ? error->message : "");
}

/* "ID@OFFSET-END/LINE=TEXT(CAPTURE,…) " for each event. */
static void
collect (VmmExpect *expect, GString *found)
{
    VmmExpectEvent event;

    while (vmm_expect_next (expect, &event)) {
        if (event.error != NULL) {
            g_string_append_printf (found, "%u gave up ", event.id);
            continue;
        }
        g_string_append_printf (found, "%u@%zu-%zu/%zu=%s", event.id, (size_t)event.offset, (size_t)event.end,
                                (size_t)event.line, event.text.bytes);
        for (unsigned i = 0; i < event.n_captures; i++)
            g_string_append_printf (found, "%s%s", i == 0 ? "(" : ",",
                                    event.captures[i].bytes ? event.captures[i].bytes : "-");
        g_string_append (found, event.n_captures > 0 ? ") " : " ");
    }
}

static void
feed (VmmExpect *expect, const char *data, size_t len, size_t piece, GString *found)
{
    for (size_t at = 0; at < len;) {
        at += vmm_expect_feed (expect, (const uint8_t *)data + at, MIN (piece, len - at));
        collect (expect, found);
    }
}

/* The events of the @patterns, each with @flags, in @data, whatever its pieces are. */
static void
check_bytes (const char *const *patterns, VmmExpectFlags flags, bool strip, const char *data, size_t len,
             const char *expected)
{
    for (size_t piece = 1; piece <= len; piece = piece < 4 ? piece + 1 : piece * 3) {
        g_autoptr (VmmExpect) expect = vmm_expect_new (0, strip);
        g_autoptr (GString) found = g_string_new (NULL);

        for (unsigned i = 0; patterns[i] != NULL; i++)
            add (expect, i, patterns[i], flags);
        feed (expect, data, len, piece, found);
        vmm_expect_settle (expect);
        collect (expect, found);
        cr_assert_str_eq (found->str, expected, "in pieces of %zu: \"%s\", not \"%s\"", piece, found->str,
                          expected);
        cr_assert (!vmm_expect_is_undecided (expect));
    }
}

static void
check (const char *pattern, const char *data, const char *expected)
{
    check_bytes ((const char *[]){pattern, NULL}, VMM_EXPECT_REGEX, false, data, strlen (data), expected);
}

Test (expect, a_match_says_where_it_is)
{
    check ("login:", "Welcome\r\n\r\nhost login: ", "0@16-22/3=login: ");
    check ("b+", "abbba\nxb\n", "0@1-4/1=bbb 0@7-8/2=b ");
}

Test (expect, captures)
{
    check ("([a-z]+)=([0-9]+)?(;)?", "ab=12 cd=;", "0@0-5/1=ab=12(ab,12,-) 0@6-10/1=cd=;(cd,-,;) ");
}

Test (expect, captures_have_names)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    VmmExpectEvent event;

    add (expect, 7, "(?<passed>[0-9]+) of ([0-9]+)\\n", VMM_EXPECT_REGEX);
    vmm_expect_feed (expect, (const uint8_t *)"3 of 4\n", 7);
    cr_assert (vmm_expect_next (expect, &event));
    cr_assert_eq (event.id, 7u);
    cr_assert_eq (event.n_captures, 2u);
    cr_assert_str_eq (event.captures[0].name, "passed");
    cr_assert_str_eq (event.captures[0].bytes, "3");
    cr_assert_null (event.captures[1].name);
}

Test (expect, ends_of_lines)
{
    check ("^ok$", "no ok\nok no\nok\n", "0@12-14/3=ok ");
    check ("^ok$", "ok\r\nok\r\r\n", "0@0-2/1=ok 0@4-6/2=ok ");
    check ("^.*done$", "[  1.0] all done\r\n", "0@0-16/1=[  1.0] all done ");
    check ("^$", "a\r\n\r\nb\n", "0@3-3/2= ");
    check ("a\\nb", "a\r\nb", "0@0-4/1=a\nb ");
    check ("\\Aa", "a\na\n", "0@0-1/1=a ");
}

/* A carriage return alone is what a progress bar writes. */
Test (expect, a_carriage_return_in_a_line_stays)
{
    check ("\\r20%", "10%\r20%\r\r30%\n", "0@3-7/1=\r20% ");
    check ("[0-9]+%\\r", "10%\r\r\r20%\n", "0@0-6/1=10%\r ");
}

Test (expect, what_is_at_the_end_is_taken_when_the_guest_is_quiet)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autoptr (GString) found = g_string_new (NULL);

    add (expect, 1, "# $", VMM_EXPECT_REGEX);
    add (expect, 2, "[0-9]+", VMM_EXPECT_REGEX);
    feed (expect, "id=10", 5, 5, found);
    cr_assert_str_eq (found->str, "");
    cr_assert (vmm_expect_is_undecided (expect));
    feed (expect, "00\r\n# ", 6, 6, found);
    cr_assert_str_eq (found->str, "2@3-7/1=1000 ");
    vmm_expect_settle (expect);
    collect (expect, found);
    cr_assert_str_eq (found->str, "2@3-7/1=1000 1@9-11/2=#  ");
    cr_assert (!vmm_expect_is_undecided (expect));
}

/* Quiet is no end: what was too little may grow. */
Test (expect, more_may_follow_after_quiet)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autoptr (GString) found = g_string_new (NULL);

    add (expect, 1, "login: $", VMM_EXPECT_REGEX);
    feed (expect, "log", 3, 3, found);
    vmm_expect_settle (expect);
    collect (expect, found);
    cr_assert_str_eq (found->str, "");
    feed (expect, "in: ", 4, 1, found);
    vmm_expect_settle (expect);
    collect (expect, found);
    cr_assert_str_eq (found->str, "1@0-7/1=login:  ");
}

Test (expect, the_first_in_the_stream_wins)
{
    const char *const patterns[] = {"done", "panic.*", "one", NULL};
    const char *data = "panic: not done\ndone";

    check_bytes (patterns, VMM_EXPECT_REGEX, false, data, strlen (data),
                 "1@0-15/1=panic: not done 0@16-20/2=done ");
    check_bytes ((const char *[]){"ab", "abc", NULL}, VMM_EXPECT_REGEX, false, "abc", 3, "0@0-2/1=ab ");
}

/* As in expect(1): what was matched is gone, for patterns that come later, too. */
Test (expect, later_patterns_look_behind_the_last_match)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autoptr (GString) found = g_string_new (NULL);

    add (expect, 1, "two", VMM_EXPECT_REGEX);
    feed (expect, "one two one three", 17, 17, found);
    vmm_expect_remove_pattern (expect, 1);
    add (expect, 2, "one|t", VMM_EXPECT_REGEX);
    add (expect, 3, "^", VMM_EXPECT_REGEX);
    collect (expect, found);
    cr_assert_str_eq (found->str, "1@4-7/1=two 2@8-11/1=one 2@12-13/1=t ");
}

Test (expect, what_is_forbidden_is_found_inside_of_a_match)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autoptr (GString) found = g_string_new (NULL);

    add (expect, 1, "^.*done\\n", VMM_EXPECT_REGEX);
    add (expect, 2, "error", VMM_EXPECT_THROUGHOUT);
    feed (expect, "error: done\nok\nanother error, done\n", 35, 35, found);
    cr_assert_str_eq (found->str, "1@0-12/1=error: done\n 2@0-5/1=error 1@15-35/3=another error, done\n "
                                  "2@23-28/3=error ");
}

Test (expect, bytes_are_bytes)
{
    static const char data[] = "a\0b \xff\xfe\x80 a\0c";

    check_bytes ((const char *[]){"a\\x00[b-d]", "\xff.\\x80", NULL}, VMM_EXPECT_REGEX, false, data,
                 sizeof data - 1, "0@0-3/1=a 1@4-7/1=\xff\xfe\x80 0@8-11/1=a ");
    check ("(*UCP)x", "", "");
}

Test (expect, plain_text_and_case)
{
    check_bytes ((const char *[]){"a.b[", NULL}, VMM_EXPECT_LITERAL, false, "axb[ a.b[", 9, "0@5-9/1=a.b[ ");
    check_bytes ((const char *[]){"a.B", NULL}, VMM_EXPECT_LITERAL | VMM_EXPECT_CASELESS, false, "A.b", 3,
                 "0@0-3/1=A.b ");
    check_bytes ((const char *[]){"^LOGIN", NULL}, VMM_EXPECT_CASELESS, false, "Login", 5, "0@0-5/1=Login ");
}

Test (expect, escape_sequences_are_stripped_on_demand)
{
    const char *data = "\033[1mho\033[0mst\r\033[K\n\033]0;title\alogin:\033[0m ";

    check_bytes ((const char *[]){"^host$", "^login:", NULL}, VMM_EXPECT_REGEX, true, data, strlen (data),
                 "0@4-12/1=host 1@27-33/2=login: ");
    check_bytes ((const char *[]){"host", "\\e\\[0m", NULL}, VMM_EXPECT_REGEX, false, data, strlen (data),
                 "1@6-10/1=\033[0m 1@33-37/2=\033[0m ");
}

/* Wherever the window begins and ends. */
Test (expect, matches_of_half_a_window_are_found_anywhere)
{
    const size_t half = VMM_EXPECT_WINDOW_MIN / 2;

    for (size_t before = 0; before < 3 * VMM_EXPECT_WINDOW_MIN; before += 97) {
        g_autoptr (VmmExpect) expect = vmm_expect_new (VMM_EXPECT_WINDOW_MIN, false);
        g_autoptr (GString) found = g_string_new (NULL);
        g_autoptr (GString) data = g_string_new (NULL);
        g_autofree char *expected = g_strdup_printf ("1@%zu-%zu/1=<", before, before + half);

        for (size_t i = 0; i < before + half; i++)
            g_string_append_c (data, i == before ? '<' : i == before + half - 1 ? '>' : '.');
        g_string_append (data, "tail");
        add (expect, 1, "<[.]*>", VMM_EXPECT_REGEX);
        feed (expect, data->str, data->len, before % 500 + 1, found);
        vmm_expect_settle (expect);
        collect (expect, found);
        cr_assert (g_str_has_prefix (found->str, expected), "%.30s, not %s", found->str, expected);
    }
}

Test (expect, text_is_bounded)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autofree char *data = g_strnfill (10000, 'x');
    VmmExpectEvent event;

    add (expect, 1, "(x+)y", VMM_EXPECT_REGEX);
    vmm_expect_feed (expect, (const uint8_t *)data, 10000);
    vmm_expect_feed (expect, (const uint8_t *)"y", 1);
    cr_assert (vmm_expect_next (expect, &event));
    cr_assert_eq (event.end - event.offset, 10001u);
    cr_assert_eq (event.text.len, VMM_EXPECT_TEXT_MAX);
    cr_assert (event.text.cut && event.captures[0].cut);
}

static void
check_error (const char *pattern, VmmExpectFlags flags, const char *expected)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autoptr (GError) error = NULL;

    cr_assert (!vmm_expect_add_pattern (expect, 1, pattern, flags, &error));
    cr_assert (g_error_matches (error, VMM_ERROR, VMM_ERROR_USAGE));
    cr_assert_str_eq (error->message, expected);
}

Test (expect, a_wrong_pattern_says_what_is_wrong)
{
    check_error ("(a", 0, "pattern \"(a\": missing closing parenthesis, at character 3");
    check_error ("a\n[z-a]", 0, "pattern \"a?[z-a]\": range out of order in character class, at character 6");
    check_error ("", VMM_EXPECT_LITERAL, "pattern \"\": it is empty, and would match everywhere");
    check_error (
        "ok\\r\\n", 0,
        "pattern \"ok\\r\\n\": line ends are seen as \\n, whatever the guest writes: leave out the \\r");
    check_error ("(?<=a{300})b", 0, "pattern \"(?<=a{300})b\": it looks behind further than 255 bytes");
}

static double
cpu_seconds (void)
{
    struct timespec ts;

    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The guest writes what makes them worst. */
Test (expect, costly_patterns_are_given_up, .timeout = 100)
{
    static const char *const patterns[] = {
        "(a+)+$",          "(a|aa)+$",      "^(([a-z])+.)+[A-Z]([a-z])+$", "((a*)*)*b", "(?:(?:a+)+)+!",
        "(\\w+\\s?)*\\1Q", "(a?){50}a{50}", "(?s).*a.*a.*a.*a.*Z",         "(a*)*\\1Z", "^(a(?1)?)*$",
        "(a+a+)+Z|x",
    };
    g_autoptr (GString) data = g_string_new (NULL);

    while (data->len < 300000)
        g_string_append (data, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    for (size_t i = 0; i < G_N_ELEMENTS (patterns); i++) {
        g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
        g_autoptr (GString) found = g_string_new (NULL);
        double begin = cpu_seconds (), worst = 0;

        add (expect, 1, patterns[i], VMM_EXPECT_REGEX);
        add (expect, 2, "never", VMM_EXPECT_REGEX);
        for (size_t at = 0; at < data->len;) {
            double before = cpu_seconds ();

            at += vmm_expect_feed (expect, (const uint8_t *)data->str + at, MIN (5000, data->len - at));
            collect (expect, found);
            g_string_truncate (found, 9);
            worst = MAX (worst, cpu_seconds () - before);
        }
        cr_log_info ("%s: %.2f s, at most %.2f s at once: %s", patterns[i], cpu_seconds () - begin, worst,
                     found->str);
        cr_assert_lt (cpu_seconds () - begin, 20, "%s: %f s", patterns[i], cpu_seconds () - begin);
        if (i < 2)
            cr_assert_str_eq (found->str, "1 gave up");
    }
}

Test (expect, one_that_is_given_up_says_so_once_and_the_others_go_on)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autofree char *data = g_strnfill (3000, 'a');
    g_autoptr (GString) found = g_string_new (NULL);
    VmmExpectEvent event;

    add (expect, 1, "(a|aa)+$", VMM_EXPECT_REGEX);
    add (expect, 2, "[b-z]", VMM_EXPECT_REGEX);
    data[2500] = 'b';
    vmm_expect_feed (expect, (const uint8_t *)data, 3000);
    cr_assert (vmm_expect_next (expect, &event));
    cr_assert_eq (event.id, 1u);
    cr_assert_str_eq (event.error,
                      "pattern \"(a|aa)+$\": takes too long on what the guest writes: avoid repetitions "
                      "inside of repetitions");
    collect (expect, found);
    cr_assert_str_eq (found->str, "2@2500-2501/1=b ");
}

static size_t
peak_kib (void)
{
    struct rusage usage;

    getrusage (RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss;
}

Test (expect, memory_is_constant, .timeout = 100)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, true);
    g_autoptr (GString) found = g_string_new (NULL);
    g_autoptr (GString) data = g_string_new (NULL);
    size_t before;

    add (expect, 1, "never", VMM_EXPECT_REGEX);
    add (expect, 2, "^\\[.*panic.*$", VMM_EXPECT_REGEX);
    add (expect, 3, "(?s)begin.*end", VMM_EXPECT_THROUGHOUT);
    for (unsigned i = 0; i < 10000; i++)
        g_string_append_printf (data, "[%u.000001] \033[1mline\033[0m %u\r\n", i, i);
    feed (expect, data->str, data->len, 4096, found);
    before = peak_kib ();
    for (size_t fed = 0; fed < 64 << 20; fed += data->len)
        feed (expect, data->str, data->len, 4096, found);
    cr_assert_lt (peak_kib () - before, 4096u, "%zu KiB more", peak_kib () - before);
    cr_assert_str_eq (found->str, "");
}

/* A line that never ends, of which each piece might be the beginning of a match, byte by byte. */
Test (expect, time_is_linear_where_all_is_undecided, .timeout = 100)
{
    g_autoptr (VmmExpect) expect = vmm_expect_new (0, false);
    g_autofree char *data = g_strnfill (1 << 20, 'x');
    g_autoptr (GString) found = g_string_new (NULL);
    double begin = cpu_seconds ();

    add (expect, 1, "x.*y", VMM_EXPECT_REGEX);
    feed (expect, data, 1 << 20, 1, found);
    cr_assert_str_eq (found->str, "");
    cr_assert_lt (cpu_seconds () - begin, 30.0);
}
