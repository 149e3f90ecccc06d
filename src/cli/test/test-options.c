/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of vmm test. */
#include "test-options.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_REPEAT 1000000
#define MAX_RETRIES 1000
#define MAX_CPUS 65536
#define MIN_SCALE 0.01
#define MAX_SCALE 1000.0

static bool
check_range (const char *option, int value, int least, int most, GError **error)
{
    if (value >= least && value <= most)
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%d\": say a number from %d to %d", option, value,
                 least, most);
    return false;
}

/* As the machine's key takes it. */
static bool
parse_memory (const char *value, uint64_t *ret_bytes, GError **error)
{
    g_autoptr (VmmConfig) config = vmm_config_new ();
    g_autoptr (GError) wrong = NULL;

    if (vmm_config_set (config, "mem", value, &wrong)) {
        *ret_bytes = vmm_config_get_memory (config);
        return true;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                 "memory \"%s\": say how much machines may have together, such as 8G", value);
    return false;
}

static bool
check_scale (const char *text, double *ret_scale, GError **error)
{
    char *end = NULL;
    double scale = text != NULL ? g_ascii_strtod (text, &end) : 1;

    if (text == NULL || (end != text && *end == '\0' && scale >= MIN_SCALE && scale <= MAX_SCALE)) {
        *ret_scale = scale;
        return true;
    }
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "time-scale \"%s\": say a number from %g to %g", text,
                 MIN_SCALE, MAX_SCALE);
    return false;
}

/* Whether they are one file, under whatever names. */
static bool
is_same_place (const char *a, const char *b)
{
    bool named = strcmp (a, TEST_STDOUT) != 0 && strcmp (b, TEST_STDOUT) != 0;
    g_autofree char *whole_a = g_canonicalize_filename (a, NULL);
    g_autofree char *whole_b = g_canonicalize_filename (b, NULL);
    struct stat of_a, of_b;

    if (strcmp (a, b) == 0 || (named && strcmp (whole_a, whole_b) == 0))
        return true;
    return named && stat (a, &of_a) == 0 && stat (b, &of_b) == 0 && S_ISREG (of_a.st_mode) &&
           of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

/* Two reports at the same place would be none. */
static bool
check_reports (const TestOptions *options, GError **error)
{
    TestReportOption reports[TEST_N_REPORTS];

    test_options_reports (options, reports);
    for (size_t i = 0; i < TEST_N_REPORTS; i++) {
        for (size_t j = 0; j < i; j++) {
            if (reports[i].path == NULL || reports[j].path == NULL ||
                !is_same_place (reports[i].path, reports[j].path) ||
                g_str_has_prefix (reports[i].path, "/dev/null"))
                continue;
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s \"%s\": --%s goes there already",
                         reports[i].option, reports[i].path, reports[j].option);
            return false;
        }
    }
    return true;
}

static bool
check_paths (const TestOptions *options, GError **error)
{
    if (options->schema || (options->paths != NULL && *options->paths != NULL))
        return true;
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "name a scenario, or a folder with scenarios; see vmm test --help");
    return false;
}

/* Appends "kernel=@value" to what is set of the machine. */
static char **
add_kernel (char **machine, const char *value)
{
    g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
    g_autofree char *setting = g_strconcat ("kernel=", value, NULL);

    if (machine != NULL)
        g_strv_builder_addv (builder, (const char **)machine);
    g_strv_builder_add (builder, setting);
    g_strfreev (machine);
    return g_strv_builder_end (builder);
}

static const char description[] =
    "Exit codes: 0 all is well; 1 something failed; 125 something could not be judged, or nothing was run;\n"
    "2 bad usage, or a scenario that makes no sense (128 with --quiet, for git bisect run); 128 and the "
    "number\n"
    "of the signal that stopped vmm test.\n";

/* "-j8", as make has it: GLib knows "-j 8" only, and would take the next argument for the number. */
static char **
split_jobs (int argc, char *const *argv)
{
    g_autoptr (GStrvBuilder) all = g_strv_builder_new ();
    bool options = true;

    for (int i = 0; i < argc; i++) {
        options = options && strcmp (argv[i], "--") != 0;
        if (options && g_str_has_prefix (argv[i], "-j") && g_ascii_isdigit (argv[i][2]))
            g_strv_builder_add_many (all, "-j", argv[i] + 2, NULL);
        else
            g_strv_builder_add (all, argv[i]);
    }
    return g_strv_builder_end (all);
}

static bool
parse (GOptionContext *context, int argc, char *const *argv, GError **error)
{
    g_autoptr (GError) wrong = NULL;
    g_auto (GStrv) all = split_jobs (argc, argv);

    if (g_option_context_parse_strv (context, &all, &wrong))
        return true;
    g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE, "%s; see vmm test --help", wrong->message);
    return false;
}

static bool
check (TestOptions *options, const char *memory, const char *scale, GError **error)
{
    return check_paths (options, error) && check_range ("jobs", options->cpus, 0, MAX_CPUS, error) &&
           check_range ("repeat", options->repeat, 0, MAX_REPEAT, error) &&
           check_range ("retries", options->retries, -1, MAX_RETRIES, error) &&
           (memory == NULL || parse_memory (memory, &options->memory, error)) &&
           check_scale (scale, &options->load.time_scale, error) && check_reports (options, error);
}

/**
 * test_options_parse:
 * @options: gets what @argv asks for; to be cleared whatever comes of it
 *
 * Returns: false with %VMM_ERROR_USAGE
 */
bool
test_options_parse (TestOptions *options, int argc, char *const *argv, GError **error)
{
    g_autofree char *kernel = NULL;
    g_autofree char *memory = NULL;
    g_autofree char *scale = NULL;
    const GOptionEntry entries[] = {
        {"list", 0, 0, G_OPTION_ARG_NONE, &options->list, "tell which runs there are, and make none", NULL},
        {"schema", 0, 0, G_OPTION_ARG_NONE, &options->schema, "tell what may stand in a scenario, as JSON",
         NULL},
        {"only", 0, 0, G_OPTION_ARG_STRING, &options->only, "make those runs whose names match", "REGEX"},
        {"tag", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->tags, "make those that have a tag", "TAG"},
        {"skip-tag", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->skip_tags, "leave out those that have a tag",
         "TAG"},
        {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->load.variables, "set a variable of the scenarios",
         "NAME=VALUE"},
        {"machine", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->load.machine,
         "set a key of the machines, whatever the scenarios say", "KEY=VALUE"},
        {"kernel", 0, 0, G_OPTION_ARG_FILENAME, &kernel, "the same as --machine kernel=FILE", "FILE"},
        {"jobs", 'j', 0, G_OPTION_ARG_INT, &options->cpus,
         "virtual CPUs at the same time [those of the host]", "N"},
        {"memory", 0, 0, G_OPTION_ARG_STRING, &memory,
         "memory of machines at the same time [90 % of what is available]", "SIZE"},
        {"repeat", 0, 0, G_OPTION_ARG_INT, &options->repeat,
         "make each run N times, and tell how often it passed", "N"},
        {"retries", 0, 0, G_OPTION_ARG_INT, &options->retries,
         "try again up to N times what fails [as scenarios say]", "N"},
        {"fail-fast", 0, 0, G_OPTION_ARG_NONE, &options->fail_fast, "end all at the first failure", NULL},
        {"time-scale", 0, 0, G_OPTION_ARG_STRING, &scale, "multiply all time limits by X", "X"},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &options->quiet, "print nothing; the exit code tells", NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "print each step, too", NULL},
        {"json", 0, 0, G_OPTION_ARG_FILENAME, &options->json, "write all that is known; - is standard output",
         "FILE"},
        {"junit", 0, 0, G_OPTION_ARG_FILENAME, &options->junit, "write a report as JUnit does", "FILE"},
        {"tap", 0, 0, G_OPTION_ARG_FILENAME, &options->tap, "write a report in the Test Anything Protocol",
         "FILE"},
        {"html", 0, 0, G_OPTION_ARG_FILENAME, &options->html, "write a page to look at", "FILE"},
        {"github", 0, 0, G_OPTION_ARG_NONE, &options->github,
         "print annotations for GitHub Actions [when GITHUB_ACTIONS is true]", NULL},
        {"results", 0, 0, G_OPTION_ARG_FILENAME, &options->results, "write the consoles' logs into DIR",
         "DIR"},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->paths, NULL, NULL},
        {NULL},
    };
    g_autoptr (GOptionContext) context = g_option_context_new ("FILE|DIR…");

    options->retries = -1;
    g_option_context_set_summary (context, "Boots machines as scenarios say, and tells what came of it.");
    g_option_context_set_description (context, description);
    g_option_context_add_main_entries (context, entries, NULL);
    if (!parse (context, argc, argv, error))
        return false;
    if (kernel != NULL && *kernel == '\0') {
        g_set_error_literal (error, VMM_ERROR, VMM_ERROR_USAGE, "kernel \"\": give the name of a file");
        return false;
    }
    if (kernel != NULL)
        options->load.machine = add_kernel (options->load.machine, kernel);
    return check (options, memory, scale, error);
}

/**
 * test_options_check_runs:
 * @runs: of TestRun
 *
 * Returns: false with %VMM_ERROR_USAGE where a report would take the place of a scenario
 */
bool
test_options_check_runs (const TestOptions *options, const GPtrArray *runs, GError **error)
{
    TestReportOption reports[TEST_N_REPORTS];
    const char *last = "";

    test_options_reports (options, reports);
    for (guint i = 0; i < runs->len; i++) {
        const char *file = ((const TestRun *)g_ptr_array_index (runs, i))->file;

        for (size_t j = 0; strcmp (file, last) != 0 && j < TEST_N_REPORTS; j++) {
            if (reports[j].path == NULL || !is_same_place (reports[j].path, file))
                continue;
            g_set_error (error, VMM_ERROR, VMM_ERROR_USAGE,
                         "%s \"%s\": this is a scenario: choose another name", reports[j].option,
                         reports[j].path);
            return false;
        }
        last = file;
    }
    return true;
}

/**
 * test_options_ask_for_quiet:
 *
 * Returns: whether there is --quiet in what could not be parsed
 */
bool
test_options_ask_for_quiet (int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp (argv[i], "--") != 0; i++) {
        bool together = argv[i][0] == '-' && argv[i][1] != '-' && argv[i][strcspn (argv[i], "qj")] == 'q';

        if (strcmp (argv[i], "--quiet") == 0 || together)
            return true;
    }
    return false;
}

/**
 * test_options_clear:
 *
 * Frees what is in @options.
 */
void
test_options_clear (TestOptions *options)
{
    g_strfreev (options->paths);
    g_strfreev (options->tags);
    g_strfreev (options->skip_tags);
    g_strfreev (options->load.variables);
    g_strfreev (options->load.machine);
    g_free (options->only);
    g_free (options->json);
    g_free (options->junit);
    g_free (options->tap);
    g_free (options->html);
    g_free (options->results);
}

/**
 * test_options_reports:
 * @ret_reports: the reports that are files
 */
void
test_options_reports (const TestOptions *options, TestReportOption ret_reports[TEST_N_REPORTS])
{
    const TestReportOption reports[TEST_N_REPORTS] = {
        {"json", options->json}, {"junit", options->junit}, {"tap", options->tap}, {"html", options->html}};

    memcpy (ret_reports, reports, sizeof reports);
}

/**
 * test_options_use_stdout:
 *
 * Returns: whether a report goes to standard output, which is then for nothing else
 */
bool
test_options_use_stdout (const TestOptions *options)
{
    TestReportOption reports[TEST_N_REPORTS];

    test_options_reports (options, reports);
    for (size_t i = 0; i < TEST_N_REPORTS; i++) {
        if (g_strcmp0 (reports[i].path, TEST_STDOUT) == 0)
            return true;
    }
    return false;
}
