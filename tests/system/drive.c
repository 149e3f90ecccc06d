/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one program for the test bed, on a terminal of its own or with its output on a pipe, and writes down
 * how it ended.
 *
 * Theory of operation: the nested bed has no Python, so what a scenario needs from the outside (a deadline, a
 * pseudo-terminal, someone who types, a look at the terminal's modes afterwards) is done here, in one static
 * program which the direct bed uses as well. Whatever the program prints goes to a log. A script, one command
 * a line, waits for output and types; the next `expect` looks only at what came after the last match.
 *
 *     expect SECONDS REGEX    wait until the output matches (POSIX extended)
 *     send TEXT               type TEXT; knows \n \r \t \\ and \xNN
 *     pause MILLISECONDS
 *     signal NUMBER           send a signal to the program
 *     stop-when-done          end the program with SIGTERM once the script is through
 *     copy NAME               copy /proc/PID/NAME to RESULT.NAME (smaps, status, ...)
 *     size ROWS COLUMNS       the terminal's window gets this size
 *     run SECONDS COMMAND     run a shell command, which must end well in that time; $VMM_PID is the program
 *
 * A program that does not end in time has the state of its threads written to RESULT.threads before it is
 * ended. The result file has one `key=value` a line: exit or signal, timeout, elapsed_us, script, termios.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pty.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    LOG_LIMIT = 16 << 20,   /* a guest that prints for ever must not fill the disk */
    WINDOW_LIMIT = 1 << 18, /* how far back an expect can look */
    LINE_LIMIT = 1024,
};

typedef struct {
    const char *log_path;
    const char *result_path;
    const char *script_path;
    double timeout;
    double grace;
    bool tty;
    char **command;
} Options;

typedef struct {
    Options options;
    pid_t pid;
    int pid_fd;
    int io_fd; /* the pty's master, or the read end of the pipe */
    int log_fd;
    size_t logged;
    char *window; /* output since the last match, NUL bytes replaced */
    size_t window_length;
    bool io_closed;
    bool exited;
    bool timed_out;
    struct termios before;
    char complaint[LINE_LIMIT + 128]; /* the script line that failed; empty: all went well */
    double started;
    double ended;
} Run;

static double
now (void)
{
    struct timespec time;
    clock_gettime (CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void
die (const char *what)
{
    fprintf (stderr, "drive: %s: %s\n", what, strerror (errno));
    exit (125);
}

/* Blocks the caller's signals nowhere: the child starts with default dispositions and an empty mask. */
static void
become_command (Run *run, int slave)
{
    setsid ();
    if (run->options.tty && ioctl (slave, TIOCSCTTY, 0) != 0)
        die ("TIOCSCTTY");
    int in = run->options.tty ? slave : open ("/dev/null", O_RDONLY);
    if (dup2 (in, 0) < 0 || dup2 (slave, 1) < 0 || dup2 (slave, 2) < 0)
        die ("dup2");
    closefrom (3);
    execvp (run->options.command[0], run->options.command);
    fprintf (stderr, "drive: %s: %s\n", run->options.command[0], strerror (errno));
    _exit (127);
}

static void
spawn (Run *run)
{
    int slave;
    if (run->options.tty) {
        struct winsize size = {.ws_row = 24, .ws_col = 80};
        if (openpty (&run->io_fd, &slave, NULL, NULL, &size) != 0)
            die ("openpty");
        if (tcgetattr (slave, &run->before) != 0)
            die ("tcgetattr");
    } else {
        int ends[2];
        if (pipe (ends) != 0)
            die ("pipe");
        run->io_fd = ends[0];
        slave = ends[1];
    }
    run->started = now ();
    run->pid = fork ();
    if (run->pid < 0)
        die ("fork");
    if (run->pid == 0)
        become_command (run, slave);
    /* The slave stays open here for a terminal: its modes must outlive the program to be compared. */
    if (!run->options.tty)
        close (slave);
    run->pid_fd = pidfd_open (run->pid, 0);
    if (run->pid_fd < 0)
        die ("pidfd_open");
    fcntl (run->io_fd, F_SETFL, O_NONBLOCK);
}

static void
keep_output (Run *run, char *bytes, size_t length)
{
    if (run->logged < LOG_LIMIT) {
        size_t room = LOG_LIMIT - run->logged;
        size_t wanted = length < room ? length : room;
        if (write (run->log_fd, bytes, wanted) != (ssize_t)wanted)
            die ("log");
        run->logged += wanted;
    }
    for (size_t i = 0; i < length; i++)
        if (bytes[i] == '\0')
            bytes[i] = ' ';
    if (length > WINDOW_LIMIT)
        return;
    if (run->window_length + length > WINDOW_LIMIT) {
        size_t drop = run->window_length + length - WINDOW_LIMIT;
        memmove (run->window, run->window + drop, run->window_length - drop);
        run->window_length -= drop;
    }
    memcpy (run->window + run->window_length, bytes, length);
    run->window_length += length;
    run->window[run->window_length] = '\0';
}

static void
read_output (Run *run)
{
    char bytes[4096];
    for (;;) {
        ssize_t got = read (run->io_fd, bytes, sizeof bytes);
        if (got > 0) {
            keep_output (run, bytes, (size_t)got);
            continue;
        }
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0 || errno != EAGAIN)
            run->io_closed = true;
        return;
    }
}

/* Waits for output or for the program's end, at most until `until`. */
static void
turn (Run *run, double until)
{
    struct pollfd fds[2] = {{.fd = run->exited ? -1 : run->pid_fd, .events = POLLIN},
                            {.fd = run->io_closed ? -1 : run->io_fd, .events = POLLIN}};
    double left = until - now ();
    if (poll (fds, 2, left > 0 ? (int)(left * 1000) + 1 : 0) < 0 && errno != EINTR)
        die ("poll");
    if (fds[0].revents) {
        run->exited = true;
        run->ended = now ();
    }
    if (fds[1].revents)
        read_output (run);
}

static double
deadline (const Run *run)
{
    return run->started + run->options.timeout;
}

/* Looks for the pattern in what has come since the last match, and forgets up to the match's end. */
static bool
take_match (Run *run, const regex_t *pattern)
{
    regmatch_t match;
    if (regexec (pattern, run->window, 1, &match, 0) != 0)
        return false;
    run->window_length -= (size_t)match.rm_eo;
    memmove (run->window, run->window + match.rm_eo, run->window_length + 1);
    return true;
}

static bool
do_expect (Run *run, char *argument)
{
    char *text;
    double until = now () + strtod (argument, &text);
    regex_t pattern;
    text += *text == ' ';
    if (regcomp (&pattern, text, REG_EXTENDED | REG_NEWLINE) != 0)
        return false;
    if (until > deadline (run))
        until = deadline (run);
    bool found = take_match (run, &pattern);
    while (!found && !(run->exited && run->io_closed) && now () < until) {
        if (run->exited) {
            read_output (run);
            run->io_closed = true;
        } else {
            turn (run, until);
        }
        found = take_match (run, &pattern);
    }
    regfree (&pattern);
    return found;
}

static bool
do_send (Run *run, const char *text)
{
    for (; *text; text++) {
        char byte = *text;
        if (byte == '\\' && text[1] == 'x') {
            char digits[3] = {text[2], text[2] ? text[3] : '\0', '\0'};
            byte = (char)strtol (digits, NULL, 16);
            text += 1 + strlen (digits);
        } else if (byte == '\\' && text[1]) {
            text++;
            byte = *text == 'n' ? '\n' : *text == 'r' ? '\r' : *text == 't' ? '\t' : *text;
        }
        if (write (run->io_fd, &byte, 1) != 1)
            return false;
        read_output (run);
    }
    return true;
}

static bool
do_pause (Run *run, const char *argument)
{
    double until = now () + strtod (argument, NULL) / 1000;
    while (now () < until && now () < deadline (run) && !run->exited)
        turn (run, until);
    return true;
}

static void
append_file (FILE *out, const char *path)
{
    char text[512];
    FILE *in = fopen (path, "re");
    if (in != NULL && fgets (text, sizeof text, in) != NULL)
        fprintf (out, "%s: %s%s", path, text, strchr (text, '\n') ? "" : "\n");
    if (in != NULL)
        fclose (in);
}

/* Where a program that did not end in time has its threads: running, or asleep in which system call. */
static void
note_threads (Run *run)
{
    char path[4096];
    struct dirent *entry;
    snprintf (path, sizeof path, "%s.threads", run->options.result_path);
    FILE *out = fopen (path, "we");
    snprintf (path, sizeof path, "/proc/%d/task", (int)run->pid);
    DIR *tasks = opendir (path);
    while (out != NULL && tasks != NULL && (entry = readdir (tasks)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf (path, sizeof path, "/proc/%d/task/%.20s/stat", (int)run->pid, entry->d_name);
        append_file (out, path);
        snprintf (path, sizeof path, "/proc/%d/task/%.20s/syscall", (int)run->pid, entry->d_name);
        append_file (out, path);
    }
    if (tasks != NULL)
        closedir (tasks);
    if (out != NULL)
        fclose (out);
}

static bool
do_copy (Run *run, const char *name)
{
    char from[128], to[4096], bytes[4096];
    snprintf (from, sizeof from, "/proc/%d/%s", (int)run->pid, name);
    snprintf (to, sizeof to, "%s.%s", run->options.result_path, name);
    int in = open (from, O_RDONLY | O_CLOEXEC);
    int out = open (to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t got = -1;
    while (in >= 0 && out >= 0 && (got = read (in, bytes, sizeof bytes)) > 0)
        if (write (out, bytes, (size_t)got) != got)
            die (to);
    if (in >= 0)
        close (in);
    if (out >= 0)
        close (out);
    return got == 0;
}

/* The program's output is read meanwhile: it may be what the command waits for. */
static bool
do_run (Run *run, char *argument)
{
    char *command;
    double until = now () + strtod (argument, &command);
    char pid_text[16];
    int status = 0;
    pid_t pid, ended;

    snprintf (pid_text, sizeof pid_text, "%d", (int)run->pid);
    pid = fork ();
    if (pid < 0)
        die ("fork");
    if (pid == 0) {
        setpgid (0, 0);
        setenv ("VMM_PID", pid_text, 1);
        execl ("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit (127);
    }
    while ((ended = waitpid (pid, &status, WNOHANG)) == 0 && now () < until && now () < deadline (run)) {
        if (run->exited)
            usleep (20000);
        else
            turn (run, now () + 0.02);
    }
    if (ended == 0) {
        kill (-pid, SIGKILL);
        waitpid (pid, &status, 0);
        return false;
    }
    return WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

static bool
do_size (Run *run, const char *argument)
{
    char *rest;
    struct winsize size = {.ws_row = (unsigned short)strtoul (argument, &rest, 10)};

    size.ws_col = (unsigned short)strtoul (rest, NULL, 10);
    return ioctl (run->io_fd, TIOCSWINSZ, &size) == 0;
}

static bool
do_line (Run *run, char *line)
{
    char *argument = strchr (line, ' ');
    argument = argument ? argument : line + strlen (line);
    size_t verb = (size_t)(argument - line);
    argument += *argument == ' ';
    if (verb == 6 && !strncmp (line, "expect", verb))
        return do_expect (run, argument);
    if (verb == 4 && !strncmp (line, "send", verb))
        return do_send (run, argument);
    if (verb == 5 && !strncmp (line, "pause", verb))
        return do_pause (run, argument);
    if (verb == 6 && !strncmp (line, "signal", verb))
        return kill (run->pid, atoi (argument)) == 0;
    if (verb == 4 && !strncmp (line, "copy", verb))
        return do_copy (run, argument);
    if (verb == 3 && !strncmp (line, "run", verb))
        return do_run (run, argument);
    if (verb == 4 && !strncmp (line, "size", verb))
        return do_size (run, argument);
    if (!strcmp (line, "stop-when-done"))
        return kill (run->pid, SIGTERM) == 0;
    return false;
}

static void
play_script (Run *run)
{
    char line[LINE_LIMIT];
    FILE *script = fopen (run->options.script_path, "re");
    if (script == NULL)
        die (run->options.script_path);
    while (run->complaint[0] == '\0' && fgets (line, sizeof line, script)) {
        line[strcspn (line, "\n")] = '\0';
        if (line[0] != '\0' && line[0] != '#' && !do_line (run, line))
            snprintf (run->complaint, sizeof run->complaint, "%s%s", line,
                      run->exited ? " (the program had ended)" : "");
    }
    fclose (script);
    /* A conversation that broke down has nothing more to wait for. */
    if (run->complaint[0] != '\0') {
        note_threads (run);
        kill (-run->pid, SIGTERM);
    }
}

static void
wait_for_end (Run *run)
{
    double until = deadline (run);
    if (run->complaint[0] != '\0' && now () + run->options.grace < until)
        until = now () + run->options.grace;
    while (!run->exited && now () < until)
        turn (run, until);
    if (run->exited)
        return;
    run->timed_out = run->complaint[0] == '\0';
    note_threads (run);
    kill (-run->pid, SIGTERM);
    until = now () + run->options.grace;
    while (!run->exited && now () < until)
        turn (run, until);
    kill (-run->pid, SIGKILL);
    while (!run->exited)
        turn (run, now () + 1);
}

static void
write_result (Run *run, int status, const struct rusage *used)
{
    struct termios after;
    FILE *result = fopen (run->options.result_path, "we");
    if (result == NULL)
        die (run->options.result_path);
    if (WIFEXITED (status))
        fprintf (result, "exit=%d\n", WEXITSTATUS (status));
    else
        fprintf (result, "signal=%d\n", WTERMSIG (status));
    fprintf (result, "timeout=%d\n", run->timed_out);
    fprintf (result, "elapsed_us=%.0f\n", (run->ended - run->started) * 1e6);
    fprintf (result, "maxrss_kb=%ld\n", used->ru_maxrss);
    fprintf (result, "script=%s\n", run->complaint[0] ? run->complaint : "ok");
    if (run->options.tty && tcgetattr (run->io_fd, &after) == 0) {
        bool same = after.c_iflag == run->before.c_iflag && after.c_oflag == run->before.c_oflag &&
                    after.c_cflag == run->before.c_cflag && after.c_lflag == run->before.c_lflag &&
                    !memcmp (after.c_cc, run->before.c_cc, sizeof after.c_cc);
        fprintf (result, "termios=%s\n", same ? "restored" : "changed");
    }
    if (fclose (result) != 0)
        die (run->options.result_path);
}

static Options
read_options (int argc, char **argv)
{
    static const struct option names[] = {
        {"tty", no_argument, NULL, 'T'},
        {"timeout", required_argument, NULL, 't'},
        {"grace", required_argument, NULL, 'g'},
        {"script", required_argument, NULL, 's'},
        {"log", required_argument, NULL, 'l'},
        {"result", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    Options options = {.log_path = "/dev/null", .timeout = 60, .grace = 5};
    int name;
    while ((name = getopt_long (argc, argv, "+", names, NULL)) != -1) {
        switch (name) {
        case 'T':
            options.tty = true;
            break;
        case 't':
            options.timeout = strtod (optarg, NULL);
            break;
        case 'g':
            options.grace = strtod (optarg, NULL);
            break;
        case 's':
            options.script_path = optarg;
            break;
        case 'l':
            options.log_path = optarg;
            break;
        case 'r':
            options.result_path = optarg;
            break;
        default:
            exit (125);
        }
    }
    options.command = argv + optind;
    if (options.result_path == NULL || options.command[0] == NULL) {
        fprintf (stderr, "usage: drive [--tty] [--timeout S] [--grace S] [--script F] [--log F] --result F "
                         "-- COMMAND...\n");
        exit (125);
    }
    return options;
}

int
main (int argc, char **argv)
{
    Run run = {.options = read_options (argc, argv)};
    struct rusage used;
    int status;

    signal (SIGPIPE, SIG_IGN);
    run.window = calloc (1, WINDOW_LIMIT + 1);
    run.log_fd = open (run.options.log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (run.window == NULL || run.log_fd < 0)
        die (run.options.log_path);
    spawn (&run);
    if (run.options.script_path)
        play_script (&run);
    wait_for_end (&run);
    read_output (&run);
    if (wait4 (run.pid, &status, 0, &used) != run.pid)
        die ("wait4");
    /* Whatever the program left behind in its session must not outlive the scenario. */
    kill (-run.pid, SIGKILL);
    write_result (&run, status, &used);
    free (run.window);
    return 0;
}
