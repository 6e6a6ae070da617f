/* One pass of any cell over all units of some rows, a tile of a few rows and units at a time: multiply the tile, whose
   sums stay in registers, then evaluate the cell's equations on it. What is particular to a cell stands around this
   file: above it how many states, gates and slots there are, below it the equations.

   Legend: T steps, B rows of the batch, H units, V lanes of a vector. */

#define INLINE static inline __attribute__((always_inline))

/* Gates of a tile of units are summed side by side: so many sums fit into the registers beside what is multiplied. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define SUMS 24
#else
#define SUMS 12
#endif
#define SMALLER(a, b) ((a) < (b) ? (a) : (b))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define UNITS(gates) LARGER(1, SUMS / 6 / (gates))                               /* vectors of units in a tile */
#define ROWS(gates) LARGER(1, SMALLER(8, SUMS / ((gates) * UNITS(gates))))       /* rows in a tile */

typedef struct {
    int64_t steps, rows, hidden;
    int64_t slot_step;                    /* numbers between two steps' slots; 0: they share one place */
    const int64_t *alive;                 /* (T): rows that go on at each step; NULL: all */
    const int64_t *tokens;                /* (T, B): rows of x; NULL: x has a row for each */
    const REAL *x;                        /* (T, B, GATES, H), or (V, GATES, H) */
    REAL *state[STATES];                  /* (T + 1, B, H) */
    REAL *slots;                          /* (T, B, SLOTS, H), or (B, SLOTS, H) */
    const REAL *param[PARAMS];            /* (H) */
    const REAL *mask[MASKS];
    int64_t mask_step[MASKS], mask_row[MASKS];
    const REAL *packed[PRODUCTS];         /* recurrent weights, as one direction reads them */
    /* backward only */
    int64_t first_step;                   /* the step that columns start with */
    int64_t column_row;                   /* numbers between two rows' columns: some more than COLUMNS * H, since rows */
                                          /* a power of two apart would push each other out of the cache */
    const REAL *grad_output;              /* (T, B, H) */
    REAL *carry[STATES];                  /* (B, H): the gradient of each state between two steps */
    REAL *columns;                        /* (steps, B, column_row): gradients of pre-activations */
    REAL *temps;                          /* (B, TEMPS, H) */
    REAL *grad_param[PARAMS];             /* (B, H) */
    REAL *grad_table;                     /* (V, COLUMNS, H): sums over the steps with each token; NULL: none wanted */
} Layer;

/* One vector of units of one row at one step: what the printed equations read and write. */
typedef struct {
    const Layer *layer;
    const REAL *x, *state[STATES], *param[PARAMS], *mask[MASKS], *grad_output;
    REAL *next[STATES], *slots, *carry[STATES], *columns, *temps, *grad_param[PARAMS];
    const vec *sums;
    int64_t hidden;
    int lanes, units, rows, unit, row, keep, last;
} At;

/* The last units of a row may be fewer than a vector has lanes: seldom, so one short function each will do. */
static __attribute__((noinline)) vec load_some(const REAL *from, int lanes) { return v_load_n(from, lanes); }
static __attribute__((noinline)) void store_some(REAL *to, vec value, int lanes) { v_store_n(to, value, lanes); }

INLINE vec load(const REAL *from, int lanes) { return lanes == V ? v_load(from) : load_some(from, lanes); }

INLINE void store(REAL *to, vec value, int lanes)
{
    if (lanes == V) v_store(to, value); else store_some(to, value, lanes);
}

#define X(gate) load(at->x + (gate) * at->hidden, at->lanes)
#define STATE(k) load(at->state[k], at->lanes)
#define NEXT(k) load(at->next[k], at->lanes)
#define PARAM(k) load(at->param[k], at->lanes)
#define MASK(k) load(at->mask[k], at->lanes)
#define SLOT(k) load(at->slots + (k) * at->hidden, at->lanes)
#define COLUMN(k) load(at->columns + (k) * at->hidden, at->lanes)
#define TEMP(k) load(at->temps + (k) * at->hidden, at->lanes)
/* The sum of a gate: of a product with so many gates, after products with `before` gates. */
#define SUM(before, gates, gate) \
    at->sums[at->rows * at->units * (before) + (at->row * at->units + at->unit) * (gates) + (gate)]
#define SET_NEXT(k, value) store(at->next[k], value, at->lanes)
#define SET_SLOT(k, value) store(at->slots + (k) * at->hidden, value, at->lanes)
#define SET_COLUMN(k, value) store(at->columns + (k) * at->hidden, value, at->lanes)
#define SET_TEMP(k, value) store(at->temps + (k) * at->hidden, value, at->lanes)
#define SET_CARRY(k, value) store(at->carry[k], value, at->lanes)
#define ADD_PARAM(k, value) store(at->grad_param[k], load(at->grad_param[k], at->lanes) + (value), at->lanes)
/* The gradient of a new state: from the step after, by value and by product, and from the outputs. */
#define CARRIED(k) load(at->carry[k], at->lanes)
#define OUTPUT_GRADIENT load(at->grad_output, at->lanes)
#define RETURNED(before) (at->last ? v_set(0) : SUM(before, 1, 0))

INLINE At locate(const Layer *l, int64_t t, int64_t row, int64_t unit)
{
    At at = {.layer = l, .hidden = l->hidden};
    const int64_t H = l->hidden, place = t * l->rows + row;
    at.x = !l->x ? l->x : l->x + (l->tokens ? l->tokens[place] : place) * GATES * H + unit;
    for (int k = 0; k < STATES; k++) {
        at.state[k] = l->state[k] + place * H + unit;
        at.next[k] = l->state[k] + (place + l->rows) * H + unit;
        at.carry[k] = l->carry[k] + row * H + unit;
    }
    for (int k = 0; k < PARAMS; k++) {
        at.param[k] = l->param[k] + unit;
        at.grad_param[k] = l->grad_param[k] + row * H + unit;
    }
    for (int k = 0; k < MASKS; k++) at.mask[k] = l->mask[k] + t * l->mask_step[k] + row * l->mask_row[k] + unit;
    at.slots = l->slots + t * l->slot_step + row * SLOTS * H + unit;
    at.columns = l->columns + (place - l->first_step * l->rows) * l->column_row + unit;
    at.temps = l->temps + row * TEMPS * H + unit;
    at.grad_output = l->grad_output + place * H + unit;
    return at;
}

/* Where some rows stand that a product multiplies. */
typedef struct {
    const REAL *row[8];
} Rows;

INLINE Rows rows_at(const REAL *first, int64_t stride, int count)
{
    Rows rows;
    for (int r = 0; r < 8; r++) rows.row[r] = first + (r < count ? r : 0) * stride;
    return rows;
}

INLINE Rows state_rows(const Layer *l, int k, int64_t t, int64_t row, int count)
{
    return rows_at(l->state[k] + (t * l->rows + row) * l->hidden, l->hidden, count);
}

INLINE Rows slot_rows(const Layer *l, int k, int64_t t, int64_t row, int count)
{
    const int64_t H = l->hidden;
    return rows_at(l->slots + t * l->slot_step + (row * SLOTS + k) * H, SLOTS * H, count);
}

INLINE Rows column_rows(const Layer *l, int k, int64_t t, int64_t row, int count)
{
    const int64_t place = (t - l->first_step) * l->rows + row;
    return rows_at(l->columns + place * l->column_row + k * l->hidden, l->column_row, count);
}

/* Keeps a compiler from loading a value anew for each time that it is used. */
#if defined(__x86_64__)
#define IN_A_REGISTER(value) __asm__("" : "+v"(value))
#else
#define IN_A_REGISTER(value)
#endif

/* sums[r][w] = packed[0][w] + the sum over k of rows[r][k] * packed[1 + k][w], for R rows and W vectors. The shorter
   side is loaded first, so that the sums, this side and one more vector are all that has to fit into the registers. */
INLINE void multiply_tile(const int R, const int W, int64_t K, const Rows *rows, const REAL *packed, vec *sums)
{
    vec sum[8 * SUMS];
    for (int r = 0; r < R; r++)
        for (int w = 0; w < W; w++) sum[r * W + w] = v_load(packed + w * V);
    for (int64_t k = 0; k < K; k++) {
        packed += W * V;
        vec side[8 * SUMS];
        if (R < W) {
            for (int r = 0; r < R; r++) side[r] = v_set(rows->row[r][k]);
            for (int w = 0; w < W; w++) {
                vec weight = v_load(packed + w * V);
                IN_A_REGISTER(weight);
                for (int r = 0; r < R; r++) sum[r * W + w] += side[r] * weight;
            }
        } else {
            for (int w = 0; w < W; w++) side[w] = v_load(packed + w * V);
            for (int r = 0; r < R; r++) {
                const vec value = v_set(rows->row[r][k]);
                for (int w = 0; w < W; w++) sum[r * W + w] += value * side[w];
            }
        }
    }
#pragma GCC unroll 64
    for (int i = 0; i < R * W; i++) sums[i] = sum[i];
}

#define TILE(R) \
    case R: \
        if (R * W <= LARGER(SUMS, W)) multiply_tile(R, W, K, &rows, packed, sums); \
        break;

INLINE void multiply(int count, const int W, int64_t K, const Rows rows, const REAL *packed, vec *sums)
{
    switch (count) { TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8) }
}

/* The weights of a tile lie together: a row of starting values, then for each k all that it is multiplied with. */
INLINE const REAL *tile_of(const REAL *packed, int64_t tile, int64_t K, int W) { return packed + tile * (K + 1) * W * V; }

typedef void Multiply(const Layer *l, int64_t t, int64_t row, int count, int64_t tile, vec *sums);
typedef void Equations(const At *at);

INLINE void no_product(const Layer *l, int64_t t, int64_t row, int count, int64_t tile, vec *sums) {}

/* For the last units of a row, whose number of lanes is not known to the compiler. */
static __attribute__((noinline)) void evaluate_some(const At *at, Equations *equations) { equations(at); }

/* sums has room for all products of a tile; gates: of the widest of them. */
INLINE void pass(const Layer *l, int64_t t, int64_t first, int64_t end, int keep, int last, const int gates,
                 Multiply *multiply_all, Equations *equations, vec *sums)
{
    const int units = UNITS(gates), rows = ROWS(gates);
    const int64_t tiles = (end - first + rows - 1) / rows;
    for (int64_t unit = 0, tile = 0; unit < l->hidden; unit += units * V, tile++)
        for (int64_t n = 0; n < tiles; n++) {
            const int64_t row = first + (end - first) * n / tiles;
            const int count = first + (end - first) * (n + 1) / tiles - row;
            multiply_all(l, t, row, count, tile, sums);
            for (int r = 0; r < count; r++)
                for (int u = 0; u < units && unit + u * V < l->hidden; u++) {
                    At at = locate(l, t, row + r, unit + u * V);
                    at.sums = sums, at.rows = rows, at.units = units, at.row = r, at.unit = u;
                    at.keep = keep, at.last = last;
                    const int64_t left = l->hidden - unit - u * V;
                    if (left >= V) at.lanes = V, equations(&at);
                    else at.lanes = left, evaluate_some(&at, equations);
                }
        }
}
