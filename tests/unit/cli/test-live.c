/* SPDX-License-Identifier: Apache-2.0 */
/* The live view, as it is seen on a terminal: a small one that does what real ones do. */
#include "live.h"
#include "plain.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define SECOND INT64_C (1000000)
#define MAX_ROWS 200u
#define MAX_COLUMNS 200u
/* Nothing that is drawn has this byte. */
#define MARK "\001"
#define PATIENCE_MS 10000

typedef struct {
    int master, slave;
    unsigned rows, columns;
    unsigned row, column; /* of the cursor; rows that scrolled away count on */
    char cells[MAX_ROWS][MAX_COLUMNS + 1];
    size_t bytes; /* that came */
    TestLive *live;
    GPtrArray *running;
    GPtrArray *jobs, *runs; /* all that were made */
    TestLiveState state;
} Screen;

static void
set_size (Screen *screen, unsigned rows, unsigned columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

    screen->rows = rows;
    screen->columns = columns;
    ioctl (screen->slave, TIOCSWINSZ, &size);
}

static Screen *
screen_new (unsigned rows, unsigned columns)
{
    Screen *screen = g_new0 (Screen, 1);
    struct termios raw;

    cr_assert_eq (openpty (&screen->master, &screen->slave, NULL, NULL, NULL), 0);
    tcgetattr (screen->slave, &raw);
    cfmakeraw (&raw);
    tcsetattr (screen->slave, TCSANOW, &raw);
    fcntl (screen->master, F_SETFL, O_NONBLOCK);
    set_size (screen, rows, columns);
    memset (screen->cells, ' ', sizeof screen->cells);
    screen->live = test_live_new (screen->slave, false);
    screen->running = g_ptr_array_new ();
    screen->jobs = g_ptr_array_new_with_free_func ((GDestroyNotify)test_job_free);
    screen->runs = g_ptr_array_new_with_free_func ((GDestroyNotify)test_run_free);
    screen->state = (TestLiveState){.running = screen->running, .n_jobs = 9, .start_us = 100 * SECOND};
    return screen;
}

static void
screen_free (Screen *screen)
{
    test_live_free (screen->live);
    g_ptr_array_unref (screen->running);
    g_ptr_array_unref (screen->jobs);
    g_ptr_array_unref (screen->runs);
    close (screen->master);
    close (screen->slave);
    g_free (screen);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Screen, screen_free)

/* Returns: behind the sequence at @text */
static const char *
obey (Screen *screen, const char *text)
{
    unsigned n = (unsigned)strtoul (text + 2, (char **)&text, 10);

    if (*text == 'A') {
        cr_assert_geq (screen->row, n, "above the first line");
        screen->row -= n;
    } else if (*text == 'J') {
        memset (screen->cells[screen->row] + screen->column, ' ', MAX_COLUMNS - screen->column);
        memset (screen->cells[screen->row + 1], ' ', (MAX_ROWS - screen->row - 1) * (MAX_COLUMNS + 1));
    }
    return text + 1;
}

static void
put (Screen *screen, char c)
{
    cr_assert_lt (screen->column, screen->columns, "a line has wrapped");
    screen->cells[screen->row][screen->column++] = c;
}

/* A terminal's other end gets what was written some time later: all of it has come when this mark has. */
static char *
read_all (Screen *screen)
{
    struct pollfd slave = {.fd = screen->slave, .events = POLLOUT};
    struct pollfd master = {.fd = screen->master, .events = POLLIN};
    GString *text = g_string_new (NULL);

    if (poll (&slave, 1, 0) != 1)
        return g_string_free (text, FALSE);
    cr_assert_eq (write (screen->slave, MARK, 1), 1);
    while (!g_str_has_suffix (text->str, MARK)) {
        char bytes[4096];
        ssize_t n;

        cr_assert_eq (poll (&master, 1, PATIENCE_MS), 1, "the terminal has lost something");
        n = read (screen->master, bytes, sizeof bytes);
        g_string_append_len (text, bytes, MAX (n, 0));
    }
    g_string_truncate (text, text->len - 1);
    return g_string_free (text, FALSE);
}

static void
take (Screen *screen)
{
    g_autofree char *bytes = read_all (screen);

    screen->bytes += strlen (bytes);
    for (const char *p = bytes; *p != '\0';) {
        if (*p == '\033') {
            p = obey (screen, p);
            continue;
        }
        if (*p == '\n')
            screen->row++;
        if (*p == '\n' || *p == '\r')
            screen->column = 0;
        else
            put (screen, *p);
        p++;
        cr_assert_lt (screen->row, MAX_ROWS);
    }
}

static void
draw (Screen *screen, int64_t now_us)
{
    test_live_draw (screen->live, &screen->state, now_us);
    take (screen);
}

static void
expect_row (const Screen *screen, unsigned row, const char *expected)
{
    g_autofree char *text = g_strndup (screen->cells[row], MAX_COLUMNS);

    g_strchomp (text);
    cr_expect_str_eq (text, expected, "row %u: \"%s\"", row, text);
}

static TestJob *
add (Screen *screen, const char *name, int64_t started_us)
{
    TestRun *run = test_run_new ();
    TestJob *job;

    run->name = g_strdup (name);
    for (unsigned i = 0; i < 5; i++)
        g_ptr_array_add (run->steps, g_new0 (TestStep, 1));
    job = test_job_new (run, 0);
    job->started_us = started_us;
    g_ptr_array_add (screen->running, job);
    g_ptr_array_add (screen->jobs, job);
    g_ptr_array_add (screen->runs, run);
    return job;
}

Test (live, a_line_for_each_machine)
{
    g_autoptr (Screen) screen = screen_new (24, 100);
    TestJob *job = add (screen, "smoke[debian-6.1,1]", 101 * SECOND);

    job->stage = g_strdup ("kernel");
    job->step = 2;
    job->step_name = g_strdup ("log in");
    job->line = g_strdup ("Welcome to a long line that has no end and goes on for ever and ever");
    add (screen, "b", 103 * SECOND);
    screen->state.n_ended = 3;
    screen->state.n_bad = 1;
    draw (screen, 113 * SECOND);
    expect_row (screen, 0,
                "  smoke[debian-6.1,1] 2/5 log in              kernel     12 s  Welcome to a long line that "
                "has no..");
    expect_row (screen, 1, "  b                                                      10 s");
    expect_row (screen, 2, "3 of 9 done, 1 of them bad, 2 running  13 s");
    expect_row (screen, 3, "");
    cr_expect_eq (screen->row, 3);
}

Test (live, what_has_ended_stays_above)
{
    g_autoptr (Screen) screen = screen_new (24, 80);

    add (screen, "a", 100 * SECOND);
    draw (screen, 101 * SECOND);
    test_live_say (screen->live, "PASS first");
    draw (screen, 102 * SECOND);
    test_live_say (screen->live, "PASS second\nmore of it");
    g_ptr_array_set_size (screen->running, 0);
    draw (screen, 103 * SECOND);
    expect_row (screen, 0, "PASS first");
    expect_row (screen, 1, "PASS second");
    expect_row (screen, 2, "more of it");
    expect_row (screen, 3, "0 of 9 done, 0 running   3 s");
    test_live_free (g_steal_pointer (&screen->live));
    take (screen);
    expect_row (screen, 2, "more of it");
    expect_row (screen, 3, "");
    cr_expect_eq (screen->row, 3, "the shell's prompt comes there");
    cr_expect_eq (screen->column, 0);
}

Test (live, it_is_quiet_when_nothing_changes)
{
    g_autoptr (Screen) screen = screen_new (24, 80);
    TestJob *job = add (screen, "a", 100 * SECOND);
    unsigned draws = 0;
    size_t before;

    draw (screen, 101 * SECOND);
    before = screen->bytes;
    for (int64_t us = 101 * SECOND; us < 102 * SECOND; us += SECOND / 50)
        draw (screen, us);
    cr_expect_eq (screen->bytes, before, "the same was drawn again");
    for (int64_t us = 102 * SECOND; us < 104 * SECOND; us += SECOND / 50) {
        g_free (job->line);
        job->line = g_strdup_printf ("%ld", (long)us);
        before = screen->bytes;
        draw (screen, us);
        draws += screen->bytes > before;
    }
    cr_expect (draws >= 10 && draws <= 20, "%u draws in 2 s", draws);
}

Test (live, more_machines_than_rows)
{
    g_autoptr (Screen) screen = screen_new (6, 80);

    for (unsigned i = 0; i < 9; i++)
        add (screen, "a", 100 * SECOND);
    draw (screen, 101 * SECOND);
    draw (screen, 102 * SECOND);
    cr_expect_eq (screen->row, 5, "the block does not fit: it ends in row %u", screen->row);
    expect_row (screen, 4, "0 of 9 done, 9 running (5 not shown)   2 s");
}

Test (live, a_narrow_terminal)
{
    g_autoptr (Screen) screen = screen_new (24, 30);
    TestJob *job = add (screen, "a-name-that-is-longer-than-the-terminal-is-wide", 100 * SECOND);

    job->line = g_strdup ("not shown");
    draw (screen, 101 * SECOND);
    expect_row (screen, 0, "  a-name-that-is-lon..    1 s");
    expect_row (screen, 1, "0 of 9 done, 1 running   1 s");
}

Test (live, a_very_narrow_terminal)
{
    for (unsigned columns = 1; columns < 40; columns++) {
        g_autoptr (Screen) screen = screen_new (24, columns);

        screen->state.n_ended = 3;
        screen->state.n_bad = 1;
        add (screen, "smoke[debian-6.1,1]", 0);
        draw (screen, 101 * SECOND);
        draw (screen, 100000 * SECOND);
        cr_expect_eq (screen->row, 2, "the block of %u columns ends in row %u", columns, screen->row);
        if (columns == 12) {
            expect_row (screen, 0, "smoke[deb..");
            expect_row (screen, 1, "3/9, 1 bad");
        }
    }
}

Test (live, a_very_low_terminal)
{
    for (unsigned rows = 1; rows <= 3; rows++) {
        g_autoptr (Screen) screen = screen_new (rows, 80);

        add (screen, "a", 100 * SECOND);
        draw (screen, 101 * SECOND);
        draw (screen, 102 * SECOND);
        test_live_say (screen->live, "PASS first");
        draw (screen, 103 * SECOND);
        expect_row (screen, 0, "PASS first");
        cr_expect_eq (screen->row, rows, "the block of %u rows ends in row %u", rows, screen->row);
    }
}

Test (live, a_terminal_that_changes_its_size)
{
    g_autoptr (Screen) screen = screen_new (24, 100);

    test_live_say (screen->live, "PASS first");
    add (screen, "a", 100 * SECOND)->line = g_strdup ("something");
    draw (screen, 101 * SECOND);
    /* It gets wider: nothing is wrapped. */
    set_size (screen, 24, 120);
    test_live_resized (screen->live);
    test_live_say (screen->live, "PASS second");
    take (screen);
    draw (screen, 102 * SECOND);
    expect_row (screen, 0, "PASS first");
    expect_row (screen, 1, "PASS second");
    expect_row (screen, 3, "0 of 9 done, 1 running   2 s");
    expect_row (screen, 4, "");
    /* It gets narrower, and wraps the job's line, of 50 columns. */
    set_size (screen, 24, 40);
    screen->row++;
    test_live_resized (screen->live);
    draw (screen, 103 * SECOND);
    expect_row (screen, 1, "PASS second");
    expect_row (screen, 2, "  a    3 s");
    expect_row (screen, 3, "0 of 9 done, 1 running   3 s");
}

Test (live, after_a_stop_it_begins_anew)
{
    g_autoptr (Screen) screen = screen_new (24, 80);

    add (screen, "a", 100 * SECOND);
    draw (screen, 101 * SECOND);
    test_live_continued (screen->live);
    draw (screen, 102 * SECOND);
    expect_row (screen, 1, "0 of 9 done, 1 running   1 s");
    expect_row (screen, 3, "0 of 9 done, 1 running   2 s");
}

Test (live, a_terminal_that_takes_nothing_holds_up_nobody, .timeout = 20)
{
    g_autoptr (Screen) screen = screen_new (24, 80);

    tcflow (screen->slave, TCOOFF);
    for (unsigned i = 0; i < 100; i++) {
        test_live_say (screen->live, "PASS one of many");
        draw (screen, 101 * SECOND + i * SECOND);
    }
    cr_expect_eq (screen->bytes, 0);
    tcflow (screen->slave, TCOON);
    draw (screen, 300 * SECOND);
    expect_row (screen, 99, "PASS one of many");
    expect_row (screen, 100, "0 of 9 done, 0 running  3:20");
}
