/* Mean cross-entropy of scores, and its gradient, in one pass over them, which leaves the gradient in their place. With
   s = x + bias of a row, and p_i = exp(s_i - max s) / sum_j exp(s_j - max s), the row's

       loss is -log p_y,   gradient is (p_i - [i = y]) / rows. */

typedef struct {
    int64_t rows, columns, width;         /* width: numbers between two rows, a multiple of V */
    REAL *scores;                         /* (rows, width), zero beyond columns; no bias added; then their gradient */
    const REAL *bias;                     /* (width) */
    const int64_t *targets;               /* (rows) */
    REAL *grad_bias;                      /* (width): zeros, to which this thread's rows are added */
    double loss;                          /* zero, likewise */
} Scores;

/* A vector folded into one number. */
#define FOLD(x, other, folded) \
    _Pragma("GCC unroll 8") \
    for (int half = V / 2; half; half /= 2) { \
        vec other; \
        _Pragma("GCC unroll 64") \
        for (int i = 0; i < V; i++) other[i] = x[(i + half) % V]; \
        x = folded; \
    } \
    return x[0]

VECTOR REAL v_sum(vec x) { FOLD(x, other, x + other); }
VECTOR REAL v_largest(vec x) { FOLD(x, other, v_select(other > x, other, x)); }

void cross_entropy(Scores *s, int64_t first, int64_t end, int64_t how)
{
    const REAL share = 1 / (REAL)s->rows;
    const int64_t columns = s->columns;
    mask in_last;                         /* which lanes of a row's last vector are scores */
    for (int i = 0; i < V; i++) in_last[i] = i <= (columns - 1) % V ? -1 : 0;
    double loss = 0;
    for (int64_t row = first; row < end; row++) {
        REAL *x = s->scores + row * s->width;
        const int64_t y = s->targets[row];
        vec largest = v_set(-INFINITY), sums = v_set(0);
        for (int64_t i = 0; i < columns; i += V) {
            const vec score = v_load(x + i) + v_load(s->bias + i);
            const mask larger = score > largest;
            largest = v_select(i + V < columns ? larger : larger & in_last, score, largest);
            v_store(x + i, score);
        }
        const vec most = v_set(v_largest(largest));
        const REAL below = most[0] - x[y]; /* of the target */
        for (int64_t i = 0; i < columns; i += V) {
            vec e = v_exp_below_zero(v_load(x + i) - most);
            if (i + V >= columns) e = (vec)((mask)e & in_last);
            sums += e;
            v_store(x + i, e);
        }
        const REAL sum = v_sum(sums);
        const vec scale = v_set(share / sum);
        x[y] -= sum;
        for (int64_t i = 0; i < columns; i += V) {
            const vec gradient = v_load(x + i) * scale;
            v_store(s->grad_bias + i, v_load(s->grad_bias + i) + gradient);
            v_store(x + i, gradient);
        }
        loss += (double)LIBM(log)(sum) + below;
    }
    s->loss += loss;
}

void share(Job *job, Parallel *parallel) { parallel(part_of_rows, job, job->parts, 0); }
