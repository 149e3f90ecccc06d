/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * At the end of what was written to the terminal there is a block of lines, one for each machine that runs
 * and one for all of them, which is written again when it would look different. What stays, the lines of runs
 * that have ended, is written above it.
 *
 * No mode of the terminal is changed, and the cursor is behind the block at all times: there is nothing to be
 * restored, however vmm test ends. Each line is one column shorter than the terminal is wide, so that none
 * wraps, and the block can be found again by its number of lines. When the terminal gets narrower, most
 * terminals wrap what is there, and that is counted in.
 *
 * A terminal that takes nothing (the user pressed Ctrl-S, a connection is slow) does not hold up anybody:
 * what is to stay waits, and so does the rest of what it took a part of.
 */
#include "live.h"

#include <string.h>
#include <sys/ioctl.h>

#include "columns.h"
#include "lines.h"
#include "report-text.h"

#define SECOND INT64_C (1000000)
/* Between two looks of the block. */
#define PERIOD_US (SECOND / 10)
#define DEFAULT_COLUMNS 80u
#define DEFAULT_ROWS 24u
/* Of the columns of a line. */
#define NAME_MAX_COLUMNS 36u
#define STEP_COLUMNS 22u
#define STAGE_COLUMNS 9u
/* A terminal with fewer shows names and times only, and one with still fewer names and how many are done. */
#define COLUMNS_FOR_ALL 72u
#define COLUMNS_FOR_TIMES 20u

struct _TestLive {
    int fd;
    TestLines *out; /* the same */
    bool colours;
    unsigned columns, rows;
    char *block;      /* what is there; NULL: nothing */
    GArray *widths;   /* of unsigned: of its lines */
    GString *waiting; /* lines that are to stay */
    int64_t drawn_us;
};

static void
measure (TestLive *live)
{
    struct winsize size = {0};

    if (ioctl (live->fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){.ws_col = DEFAULT_COLUMNS, .ws_row = DEFAULT_ROWS};
    live->columns = size.ws_col;
    live->rows = size.ws_row;
}

/**
 * test_live_new:
 * @fd: a terminal; outlives the view
 */
TestLive *
test_live_new (int fd, bool colours)
{
    TestLive *live = g_new0 (TestLive, 1);

    live->fd = fd;
    live->out = test_lines_new (fd);
    live->colours = colours;
    live->widths = g_array_new (FALSE, FALSE, sizeof (unsigned));
    live->waiting = g_string_new (NULL);
    measure (live);
    return live;
}

/**
 * test_live_columns:
 *
 * Returns: how many columns a line may have that is said, at least 1
 */
unsigned
test_live_columns (const TestLive *live)
{
    return MAX (live->columns - 1, 1);
}

/* The cursor goes to where the block begins, and all from there on is cleared. */
static void
append_erasure (const TestLive *live, GString *text)
{
    unsigned rows = 0;

    for (guint i = 0; i < live->widths->len; i++)
        rows += MAX ((g_array_index (live->widths, unsigned, i) + live->columns - 1) / live->columns, 1);
    g_string_append_c (text, '\r');
    if (rows > 0)
        g_string_append_printf (text, "\033[%uA", rows);
    g_string_append (text, "\033[J");
}

static void
forget_block (TestLive *live)
{
    g_clear_pointer (&live->block, g_free);
    g_array_set_size (live->widths, 0);
}

/* @block: (nullable): lines; instead of the one that is there, and behind what waits */
static void
show (TestLive *live, const char *block, const GArray *widths)
{
    g_autoptr (GString) text = g_string_new (NULL);

    append_erasure (live, text);
    g_string_append_len (text, live->waiting->str, (gssize)live->waiting->len);
    g_string_set_size (live->waiting, 0);
    if (block != NULL)
        g_string_append (text, block);
    test_lines_write (live->out, text->str);
    if (block == NULL) {
        forget_block (live);
    } else if (block != live->block) {
        forget_block (live);
        live->block = g_strdup (block);
        if (widths != NULL)
            g_array_append_vals (live->widths, widths->data, widths->len);
    }
}

/**
 * test_live_free:
 * @live: (nullable): takes its block away
 */
void
test_live_free (TestLive *live)
{
    if (live == NULL)
        return;
    if (live->block != NULL || live->waiting->len > 0)
        show (live, NULL, NULL);
    test_lines_free (live->out);
    g_string_free (live->waiting, TRUE);
    g_array_unref (live->widths);
    g_free (live);
}

/**
 * test_live_resized:
 *
 * To be called when the terminal has another size.
 */
void
test_live_resized (TestLive *live)
{
    measure (live);
    /* It is drawn again, in the new width. */
    g_clear_pointer (&live->block, g_free);
}

/**
 * test_live_continued:
 *
 * To be called when somebody else may have written to the terminal.
 */
void
test_live_continued (TestLive *live)
{
    measure (live);
    forget_block (live);
}

/**
 * test_live_say:
 * @lines: each of at most test_live_columns(), the last one without a newline
 *
 * They stay, above the block.
 */
void
test_live_say (TestLive *live, const char *lines)
{
    g_string_append_printf (live->waiting, "%s\n", lines);
    if (test_lines_flush (live->out))
        show (live, live->block, NULL);
}

static void
append_time (GString *line, int64_t us)
{
    int64_t seconds = MAX (us, 0) / SECOND;
    g_autofree char *text = seconds < 100
                                ? g_strdup_printf ("%d s", (int)seconds)
                                : g_strdup_printf ("%d:%02d", (int)(seconds / 60), (int)(seconds % 60));

    g_string_append_printf (line, "%6s", text);
}

static void
append_step (GString *line, const TestJob *job)
{
    g_autofree char *text = NULL;

    if (job->step > 0)
        text = g_strdup_printf ("%u/%u %s", job->step, MAX (job->run->steps->len, job->step),
                                job->step_name != NULL ? job->step_name : "");
    test_columns_append (line, text != NULL ? text : "", STEP_COLUMNS, true);
    g_string_append (line, "  ");
    test_columns_append (line, job->stage != NULL ? job->stage : "", STAGE_COLUMNS, true);
}

static char *
title_of (const TestJob *job)
{
    g_autofree char *name = test_text_clean (job->run->name, strlen (job->run->name));

    return job->repeat > 0 ? g_strdup_printf ("%s #%u", name, job->repeat) : g_steal_pointer (&name);
}

/* Adds a line to the block, which ends where the terminal does, and its width to @widths. */
static void
end_line (const TestLive *live, GString *block, GArray *widths, const char *line, const char *dim)
{
    g_autoptr (GString) fitting = g_string_new (NULL);
    unsigned width;

    test_columns_append (fitting, line, live->columns - 1, false);
    width = test_columns_of (fitting->str) + test_columns_of (dim);
    g_array_append_val (widths, width);
    g_string_append (block, fitting->str);
    if (*dim != '\0')
        g_string_append_printf (block, "%s%s%s", live->colours ? "\033[2m" : "", dim,
                                live->colours ? "\033[0m" : "");
    g_string_append_c (block, '\n');
}

static void
append_job (const TestLive *live, GString *block, GArray *widths, const TestJob *job, unsigned name_columns,
            int64_t now_us)
{
    g_autoptr (GString) line = g_string_new ("  ");
    g_autoptr (GString) console = g_string_new (NULL);
    g_autofree char *title = title_of (job);
    unsigned used;

    if (live->columns < COLUMNS_FOR_TIMES) {
        end_line (live, block, widths, title, "");
        return;
    }
    test_columns_append (line, title, name_columns, true);
    g_string_append_c (line, ' ');
    if (live->columns >= COLUMNS_FOR_ALL)
        append_step (line, job);
    append_time (line, now_us - job->started_us);
    used = test_columns_of (line->str) + 2;
    if (job->line != NULL && live->columns >= COLUMNS_FOR_ALL && used + 8 < live->columns) {
        g_string_append (console, "  ");
        test_columns_append (console, job->line, live->columns - 1 - used, false);
    }
    end_line (live, block, widths, line->str, console->str);
}

static unsigned
find_name_columns (const TestLive *live, const GPtrArray *running, guint n)
{
    unsigned most = 0, room = live->columns >= COLUMNS_FOR_ALL ? live->columns * 2 / 5 : live->columns - 10;

    for (guint i = 0; i < n; i++) {
        g_autofree char *title = title_of (g_ptr_array_index (running, i));

        most = MAX (most, test_columns_of (title));
    }
    return MIN (most, MIN (NAME_MAX_COLUMNS, room));
}

static void
append_total (const TestLive *live, GString *block, GArray *widths, const TestLiveState *state, guint hidden,
              int64_t now_us)
{
    g_autoptr (GString) line = g_string_new (NULL);

    if (live->columns < COLUMNS_FOR_TIMES) {
        g_string_append_printf (line, "%u/%u", state->n_ended, state->n_jobs);
        if (state->n_bad > 0)
            g_string_append_printf (line, ", %u bad", state->n_bad);
        end_line (live, block, widths, line->str, "");
        return;
    }
    g_string_append_printf (line, "%u of %u done", state->n_ended, state->n_jobs);
    if (state->n_bad > 0)
        g_string_append_printf (line, ", %u of them bad", state->n_bad);
    g_string_append_printf (line, ", %u running", state->running->len);
    if (hidden > 0)
        g_string_append_printf (line, " (%u not shown)", hidden);
    append_time (line, now_us - state->start_us);
    end_line (live, block, widths, line->str, "");
}

static char *
make_block (const TestLive *live, const TestLiveState *state, int64_t now_us, GArray *widths)
{
    GString *block = g_string_new (NULL);
    /* The last row is the cursor's. */
    guint n = MIN (state->running->len, MAX (live->rows, 2) - 2);
    unsigned name_columns = find_name_columns (live, state->running, n);

    for (guint i = 0; i < n; i++)
        append_job (live, block, widths, g_ptr_array_index (state->running, i), name_columns, now_us);
    if (live->rows > 1)
        append_total (live, block, widths, state, state->running->len - n, now_us);
    return g_string_free (block, FALSE);
}

/**
 * test_live_draw:
 *
 * Shows @state, unless that is shown already or was just done.
 *
 * Returns: when it wants to be called again at the latest
 */
int64_t
test_live_draw (TestLive *live, const TestLiveState *state, int64_t now_us)
{
    g_autoptr (GArray) widths = NULL;
    g_autofree char *block = NULL;
    bool takes;

    if (now_us < live->drawn_us + PERIOD_US)
        return live->drawn_us + PERIOD_US;
    widths = g_array_new (FALSE, FALSE, sizeof (unsigned));
    block = make_block (live, state, now_us, widths);
    live->drawn_us = now_us;
    takes = test_lines_flush (live->out);
    if ((live->waiting->len > 0 || g_strcmp0 (block, live->block) != 0) && takes)
        show (live, block, widths);
    return now_us + (takes ? SECOND : PERIOD_US);
}
