/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps that look at a file of the host. While the machine runs, the file may still be on its way: it is
 * looked at until it is as it should be, or the step's time is over. Afterwards one look tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker-internal.h"

#define AGAIN_US (200 * 1000)
/* A file that takes long to read is not read all the time. */
#define AGAIN_TIMES 10

/* What is wrong, or NULL. */
static char *
search_file (TestWorker *worker, const TestStep *step, int fd)
{
    TestSearch search = {0};
    g_autoptr (GError) error = NULL;
    g_autofree uint8_t *data = g_malloc (65536);
    char *wrong = NULL;
    ssize_t n = 1;

    if (!test_search_init (&search, step->contains, false, &error))
        wrong = g_strdup (error->message);
    while (wrong == NULL && n > 0 && !search.found && search.wrong == NULL) {
        n = read (fd, data, 65536);
        if (n < 0 && errno != EINTR)
            wrong = g_strdup (g_strerror (errno));
        else if (test_worker_now () >= test_worker_due (worker))
            wrong = g_strdup_printf ("it was not read to its end within %g s",
                                     (double)step->within_us / G_USEC_PER_SEC);
        n = n < 0 && wrong == NULL ? 1 : n;
        test_search_feed (&search, data, wrong == NULL && n > 0 ? (size_t)n : 0);
    }
    if (wrong == NULL && !test_search_finish (&search)) {
        g_autofree char *pattern = test_worker_line (step->contains);

        wrong = search.wrong != NULL ? g_strdup (search.wrong)
                                     : g_strdup_printf ("it has no match for /%s/", pattern);
    }
    test_search_clear (&search);
    return wrong;
}

static char *
check (TestWorker *worker, const TestStep *step)
{
    int fd = open (step->text, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char *wrong = NULL;
    struct stat st;

    if (!step->exists) {
        wrong = lstat (step->text, &st) == 0 ? g_strdup ("it is there, and should not be") : NULL;
    } else if (fd < 0) {
        /* One that cannot be read may be there all the same. */
        if (step->contains != NULL || stat (step->text, &st) != 0)
            wrong = g_strdup (g_strerror (errno));
    } else if (step->contains != NULL) {
        wrong = fstat (fd, &st) == 0 && (S_ISREG (st.st_mode) || S_ISBLK (st.st_mode))
                    ? search_file (worker, step, fd)
                    : g_strdup ("it is neither a file nor a disk");
    }
    if (fd >= 0)
        close (fd);
    return wrong;
}

/**
 * test_worker_check_file:
 *
 * Does the step that is being done; or looks again.
 */
void
test_worker_check_file (TestWorker *worker)
{
    const TestStep *step = test_worker_step (worker);
    int64_t begin = test_worker_now (), now;
    g_autofree char *wrong = check (worker, step);

    if (wrong == NULL) {
        test_worker_pass_step (worker);
        return;
    }
    g_free (worker->file_wrong);
    worker->file_wrong = g_strdup_printf ("\"%s\": %s", step->text, wrong);
    if (worker->end.there) {
        test_worker_fail (worker, "check-failed", "%s", worker->file_wrong);
        return;
    }
    now = test_worker_now ();
    test_worker_timer_arm (worker->later, now + MAX (AGAIN_US, AGAIN_TIMES * (now - begin)));
}
