/* SPDX-License-Identifier: Apache-2.0 */
#include "fake-block.h"

#include <errno.h>
#include <string.h>

#include "vmm/error.h"

/* For what runs on the loop's thread. */
typedef struct {
    FakeBlock *fake;
    FakeBlockPace pace;
    unsigned n;
} Call;

static void
wrong (FakeBlock *fake, const char *what)
{
    if (fake->wrong == NULL)
        fake->wrong = what;
}

static void
check_request (FakeBlock *fake, const VmmBlockRequest *request)
{
    bool has_data = request->op == VMM_BLOCK_READ || request->op == VMM_BLOCK_WRITE;
    uint64_t total = 0;

    for (unsigned i = 0; has_data && i < request->n_iov; i++)
        total += request->iov[i].iov_len;
    if (!fake->attached)
        wrong (fake, "a request while detached");
    if (request->offset % VMM_BLOCK_SECTOR != 0 || request->len % VMM_BLOCK_SECTOR != 0 ||
        request->len > fake->store->len || request->offset > fake->store->len - request->len)
        wrong (fake, "a request that is not on the disk");
    if (has_data && total != request->len)
        wrong (fake, "buffers that are not as long as the request");
    if (request->op == VMM_BLOCK_FLUSH && request->len != 0)
        wrong (fake, "a flush of something");
    if (fake->block.limits.read_only && request->op != VMM_BLOCK_READ && request->op != VMM_BLOCK_FLUSH)
        wrong (fake, "a read-only disk is changed");
}

static void
move_data (FakeBlock *fake, VmmBlockRequest *request)
{
    uint8_t *at = fake->store->data + request->offset;

    for (unsigned i = 0; i < request->n_iov; at += request->iov[i++].iov_len) {
        if (request->op == VMM_BLOCK_READ)
            memcpy (request->iov[i].iov_base, at, request->iov[i].iov_len);
        else
            memcpy (at, request->iov[i].iov_base, request->iov[i].iov_len);
    }
}

static void
finish (FakeBlock *fake, VmmBlockRequest *request)
{
    if (fake->error == 0 && fake->wrong == NULL) {
        if (request->op == VMM_BLOCK_READ || request->op == VMM_BLOCK_WRITE)
            move_data (fake, request);
        else if (request->op != VMM_BLOCK_FLUSH)
            memset (fake->store->data + request->offset, 0, request->len);
    }
    fake->n_writes += request->op == VMM_BLOCK_WRITE;
    fake->n_flushes += request->op == VMM_BLOCK_FLUSH;
    fake->n_done++;
    request->done (request, fake->error);
}

static bool
fake_attach (VmmBlock *block, VmmLoop *loop, GError **error)
{
    FakeBlock *fake = (FakeBlock *)block;

    if (fake->attached || !vmm_loop_is_current (loop))
        wrong (fake, "attached twice, or not on the loop's thread");
    if (fake->refuses) {
        g_set_error (error, VMM_ERROR, VMM_ERROR_HOST, "disk \"fake\": it was told to refuse");
        return false;
    }
    fake->attached = true;
    return true;
}

static void
fake_submit (VmmBlock *block, VmmBlockRequest *request)
{
    FakeBlock *fake = (FakeBlock *)block;

    check_request (fake, request);
    if (fake->pace == FAKE_BLOCK_AT_SUBMIT)
        finish (fake, request);
    else
        g_queue_push_tail (&fake->submitted, request);
}

static void
fake_kick (VmmBlock *block)
{
    FakeBlock *fake = (FakeBlock *)block;
    unsigned n = g_queue_get_length (&fake->submitted);

    if (!fake->attached)
        wrong (fake, "a kick while detached");
    /* What is submitted meanwhile needs a kick of its own. */
    for (; n > 0; n--) {
        VmmBlockRequest *request = g_queue_pop_head (&fake->submitted);

        if (fake->pace == FAKE_BLOCK_HELD)
            g_queue_push_tail (&fake->held, request);
        else
            finish (fake, request);
    }
}

static void
fake_drain (VmmBlock *block)
{
    FakeBlock *fake = (FakeBlock *)block;
    VmmBlockRequest *request;

    while ((request = g_queue_pop_tail (&fake->held)) != NULL)
        finish (fake, request);
}

static void
fake_detach (VmmBlock *block)
{
    FakeBlock *fake = (FakeBlock *)block;

    if (!fake->attached || !g_queue_is_empty (&fake->held) || !g_queue_is_empty (&fake->submitted))
        wrong (fake, "detached twice, or with requests in flight");
    fake->attached = false;
}

static int
fake_resize (VmmBlock *block, uint64_t size)
{
    FakeBlock *fake = (FakeBlock *)block;
    guint before = fake->store->len;

    if (!g_queue_is_empty (&fake->held) || !g_queue_is_empty (&fake->submitted))
        wrong (fake, "resized with requests in flight");
    g_byte_array_set_size (fake->store, (guint)size);
    memset (fake->store->data + before, 0, size - before);
    block->limits.size = size;
    return 0;
}

static void
fake_free (VmmBlock *block)
{
    FakeBlock *fake = (FakeBlock *)block;

    g_byte_array_unref (fake->store);
    g_free (fake);
}

static const VmmBlockOps fake_ops = {
    .name = "fake",
    .attach = fake_attach,
    .submit = fake_submit,
    .kick = fake_kick,
    .drain = fake_drain,
    .detach = fake_detach,
    .resize = fake_resize,
    .free = fake_free,
};

FakeBlock *
fake_block_new (VmmLoop *loop, uint64_t size, bool read_only)
{
    FakeBlock *fake = g_new0 (FakeBlock, 1);

    fake->block.ops = &fake_ops;
    fake->block.limits = (VmmBlockLimits){.size = size, .block_size = 512, .read_only = read_only};
    fake->loop = loop;
    fake->store = g_byte_array_new ();
    g_byte_array_set_size (fake->store, (guint)size);
    memset (fake->store->data, 0, size);
    g_queue_init (&fake->submitted);
    g_queue_init (&fake->held);
    return fake;
}

void
fake_block_free (FakeBlock *fake)
{
    if (fake != NULL)
        fake_free (&fake->block);
}

static void
do_complete (void *user)
{
    Call *call = user;
    FakeBlock *fake = call->fake;

    while (call->n > 0 && g_queue_get_length (&fake->held) >= call->n)
        finish (fake, g_queue_pop_nth (&fake->held, call->n - 1));
    vmm_block_settle (&fake->block);
}

void
fake_block_complete (FakeBlock *fake, unsigned n)
{
    Call call = {.fake = fake, .n = n};

    vmm_loop_call (fake->loop, do_complete, &call);
}

static void
do_set_pace (void *user)
{
    Call *call = user;

    call->fake->pace = call->pace;
    if (call->pace == FAKE_BLOCK_HELD)
        return;
    call->n = 1;
    do_complete (call);
}

void
fake_block_set_pace (FakeBlock *fake, FakeBlockPace pace)
{
    Call call = {.fake = fake, .pace = pace};

    vmm_loop_call (fake->loop, do_set_pace, &call);
}

static void
count_held (void *user)
{
    Call *call = user;

    call->n = g_queue_get_length (&call->fake->held);
}

unsigned
fake_block_n_held (FakeBlock *fake)
{
    Call call = {.fake = fake};

    vmm_loop_call (fake->loop, count_held, &call);
    return call.n;
}

static void
check_kicked (void *user)
{
    FakeBlock *fake = user;

    if (!g_queue_is_empty (&fake->submitted))
        wrong (fake, "a request was left without a kick");
}

void
fake_block_settle (FakeBlock *fake)
{
    /* What was ready before the first has been served by the second. */
    vmm_loop_call (fake->loop, check_kicked, fake);
    vmm_loop_call (fake->loop, check_kicked, fake);
}

void
fake_block_fill (uint8_t *data, uint64_t sector, uint32_t stamp, uint32_t len)
{
    for (uint32_t i = 0; i + 8 <= len; i += 8) {
        uint64_t word = (sector + i / VMM_BLOCK_SECTOR) << 32 | stamp;

        memcpy (data + i, &word, sizeof word);
    }
}

bool
fake_block_is_whole (const uint8_t *data, uint64_t sector, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 8) {
        uint64_t first, word;

        memcpy (&first, data + i / VMM_BLOCK_SECTOR * VMM_BLOCK_SECTOR, sizeof first);
        memcpy (&word, data + i, sizeof word);
        if (word != first || (word != 0 && word >> 32 != sector + i / VMM_BLOCK_SECTOR))
            return false;
    }
    return true;
}
