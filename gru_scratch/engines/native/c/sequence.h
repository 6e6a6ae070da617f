/* A cell over time, and what Python calls. A thread takes its rows of the batch through all steps; rows never meet, so
   no thread waits for another. Few rows at a time, so that what a step writes is still in a near cache in the next. */

#define NEAR_BYTES 131072 /* of one state of the rows that go through time together */

static inline int64_t rows_together(const Layer *l)
{
    return LARGER(24, (int64_t)(NEAR_BYTES / sizeof(REAL)) / l->hidden);
}

static inline int64_t rows_alive(const Layer *l, int64_t t, int64_t end)
{
    return l->alive && l->alive[t] < end ? l->alive[t] : end;
}

void forward(const Layer *l, int64_t first, int64_t end, int64_t keep)
{
    for (int64_t row = first, next; row < end; row = next) {
        next = SMALLER(end, row + rows_together(l));
        for (int64_t t = 0; t < l->steps; t++) {
            const int64_t alive = rows_alive(l, t, next);
            if (alive <= row) break;
            forward_step(l, t, row, alive, keep);
        }
    }
}

/* One step, after which the new states stand where the old ones stood: for one step after another, on buffers that stay.
   Of threads that share units the first puts them there, since the others may be done while it still reads the old. */
void step(const Layer *l, int64_t first, int64_t end, int64_t keep)
{
    forward_step(l, 0, first, end, keep);
    for (int k = 0; k < STATES && l->part == 0; k++) {
        REAL *old = l->state[k] + first * l->hidden;
        memcpy(old, old + l->rows * l->hidden, (end - first) * l->hidden * sizeof(REAL));
    }
}

/* The gradients of a step's pre-activations, summed by token. */
static void add_to_table(const Layer *l, int64_t t, int64_t first, int64_t end)
{
    const int64_t width = COLUMNS * l->hidden;
    for (int64_t row = first; row < end; row++) {
        REAL *to = l->grad_table + l->tokens[t * l->rows + row] * width;
        const REAL *from = l->columns + ((t - l->first_step) * l->rows + row) * l->column_row;
        for (int64_t i = 0; i < width; i++) to[i] += from[i];
    }
}

/* Steps first_step <= t < stop, from the last back: carry holds the gradient of the states after them, then before. */
void backward(const Layer *l, int64_t first, int64_t end, int64_t stop)
{
    for (int64_t row = first, next; row < end; row = next) {
        next = SMALLER(end, row + rows_together(l));
        for (int64_t t = stop - 1; t >= l->first_step; t--) {
            const int64_t alive = LARGER(row, rows_alive(l, t, next));
            REAL *ended = l->columns + ((t - l->first_step) * l->rows + alive) * l->column_row;
            memset(ended, 0, (next - alive) * l->column_row * sizeof(REAL));
            backward_step(l, t, row, alive, t == stop - 1);
            if (l->grad_table && l->part == 0) add_to_table(l, t, row, alive);
        }
        backward_end(l, l->first_step - 1, row, LARGER(row, rows_alive(l, l->first_step, next)));
    }
}

static void part_of_units(void *data)
{
    Job *job = data;
    Layer mine = *(const Layer *)job->layers[0];
    __atomic_store_n(&job->meeting.threads, job->threads(), __ATOMIC_RELAXED); /* the same from each */
    mine.part = job->thread(), mine.meeting = &job->meeting;
    job->work(&mine, 0, mine.rows, job->how);
}

/* Threads share rows; or units, where rows are too few. */
void share(Job *job, Parallel *parallel)
{
    parallel(job->parts > job->rows ? part_of_units : part_of_rows, job, job->parts, 0);
}

/* How many numbers the packed weights of each product take: forward and backward. */
void packed_sizes(int64_t hidden, int64_t *forward, int64_t *backward)
{
    for (int p = 0; p < PRODUCTS; p++) {
        const int64_t wide = products[p].units * V, gates = products[p].gates;
        forward[p] = (hidden + wide - 1) / wide * (hidden + 1) * gates * wide;
        const int64_t wide_back = UNITS(1) * V;
        backward[p] = (hidden + wide_back - 1) / wide_back * (gates * hidden + 1) * wide_back;
    }
}

/* For each tile of units a row of biases, then for each k the weights of all gates: W is (gates, H, H), b (gates, H). */
void pack_forward(const REAL *weight, const REAL *bias, int64_t hidden, REAL *const packed[])
{
    for (int p = 0; p < PRODUCTS; p++) {
        REAL *to = packed[p];
        const int units = products[p].units, gates = products[p].gates;
        const int64_t width = units * gates * V;
        for (int64_t first = 0; gates && first < hidden; first += units * V, to += (hidden + 1) * width)
            for (int64_t begin = 0; begin < hidden; begin += LINE) /* few k at a time: what is written stays near */
                for (int column = 0; column < width; column++) {
                    const int64_t gate = products[p].rows[column / V % gates];
                    const int64_t unit = first + column / V / gates * V + column % V, row = gate * hidden + unit;
                    const int there = unit < hidden;
                    if (begin == 0) to[column] = there && bias ? bias[row] : 0;
                    for (int64_t k = begin; k < SMALLER(begin + LINE, hidden); k++)
                        to[(k + 1) * width + column] = there ? weight[row * hidden + k] : 0;
                }
    }
}

/* For each tile of units a row of zeros, then for each gate and each of its units the weights that these have there. */
void pack_backward(const REAL *weight, int64_t hidden, REAL *const packed[])
{
    const int wide = UNITS(1) * V;
    for (int p = 0; p < PRODUCTS; p++) {
        REAL *to = packed[p];
        for (int64_t first = 0; products[p].gates && first < hidden; first += wide) {
            const int there = SMALLER(wide, hidden - first);
            memset(to, 0, wide * sizeof(REAL)), to += wide;
            for (int g = 0; g < products[p].gates; g++)
                for (int64_t j = 0; j < hidden; j++, to += wide) {
                    memcpy(to, weight + (products[p].rows[g] * hidden + j) * hidden + first, there * sizeof(REAL));
                    memset(to + there, 0, (wide - there) * sizeof(REAL));
                }
        }
    }
}
