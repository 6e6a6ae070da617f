/* Work shared out among the threads of an OpenMP library that is loaded: PyTorch's, which for a while after its last work
   still spin on the cores that threads of our own would need. */

#if defined(_WIN32)
#define YIELD()
#else
#include <sched.h>
#define YIELD() sched_yield()
#endif
#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE()
#endif

/* Where threads wait for one another at the end of each part of their work. */
typedef struct {
    int64_t threads, arrived, round;
    int64_t late, alone;                  /* whether one kept the others waiting; hence the first goes on without them */
} Meeting;

#define WAIT 2000 /* some ten microseconds: on a quiet machine the others are there sooner */

/* Waits for the other threads, which have their part of what the next pass reads. On a busy machine one of them may be
   without a core for milliseconds, at every meeting: after the first such wait they part, all at the same meeting. */
static void meet(Meeting *m)
{
    const int64_t round = __atomic_load_n(&m->round, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&m->arrived, 1, __ATOMIC_ACQ_REL) == m->threads) {
        m->arrived = 0;
        m->alone = __atomic_load_n(&m->late, __ATOMIC_RELAXED);
        __atomic_store_n(&m->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int waited = 0; __atomic_load_n(&m->round, __ATOMIC_ACQUIRE) == round; waited += waited < WAIT) {
        if (waited < WAIT) { PAUSE(); continue; }
        __atomic_store_n(&m->late, 1, __ATOMIC_RELAXED);
        YIELD();
    }
}

typedef struct {
    void (*work)(const void *layer, int64_t first, int64_t end, int64_t how);
    const void *const *layers;            /* one for each part */
    int64_t rows, parts, how;
    int (*thread)(void), (*threads)(void);
    Meeting meeting;                      /* all zero */
} Job;

typedef void Parallel(void (*work)(void *data), void *data, unsigned threads, unsigned flags);

static void part_of_rows(void *data)
{
    const Job *job = data;
    for (int64_t k = job->thread(); k < job->parts; k += job->threads())
        job->work(job->layers[k], job->rows * k / job->parts, job->rows * (k + 1) / job->parts, job->how);
}
