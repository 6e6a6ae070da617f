/* One pass of any cell over all units of some rows, a tile of a few rows and units at a time: multiply the tile, whose
   sums stay in registers, then evaluate the cell's equations on it. What is particular to a cell stands around this
   file: above it how many states, gates and slots there are, below it the equations.

   Legend: T steps, B rows of the batch, H units, V lanes of a vector. */

#include "share.h"

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
    const REAL *x;                        /* (T, B, GATES, H), or (V, GATES, H); backward has none */
    REAL *state[STATES];                  /* (T + 1, B, H) */
    const char *resets;                   /* (T, B): where a row starts a step from its fresh states; NULL: nowhere */
    const REAL *fresh[STATES];            /* (B, H) */
    REAL *slots;                          /* (T, B, SLOTS, H), or (B, SLOTS, H) */
    const REAL *param[PARAMS];            /* (H) */
    const REAL *mask[MASKS];
    int64_t mask_step[MASKS], mask_row[MASKS];
    const REAL *packed[PRODUCTS];         /* recurrent weights, as one direction reads them; or, for a step or two, */
    const REAL *weight, *bias;            /* as they lie, (gates, H, H) and (gates, H); NULL: packed, without bias */
    int64_t part;                         /* of the units, where threads share these and not rows */
    Meeting *meeting;                     /* of these threads; NULL: there is but one */
    /* backward only */
    int64_t first_step;                   /* the step that columns start with */
    int64_t column_row;                   /* numbers between two rows' columns: some more than COLUMNS * H, since rows */
                                          /* a power of two apart would push each other out of the cache */
    const REAL *grad_output[STATES];      /* (T, B, H): of each state after every step; NULL: none, but of the first */
    REAL *carry[STATES];                  /* (B, H): the gradient of each state between two steps */
    REAL *grad_fresh[STATES];             /* (B, H) */
    REAL *columns;                        /* (steps, B, column_row): gradients of pre-activations */
    REAL *temps;                          /* (B, TEMPS, H) */
    REAL *grad_param[PARAMS];             /* (B, H) */
    REAL *grad_table;                     /* (V, COLUMNS, H): sums over the steps with each token; NULL: none wanted */
} Layer;

/* How many gates, vectors of units in a tile forward, which blocks of the recurrent weights. */
typedef struct {
    int gates, units, rows[GATES];
} Product;

/* Where one vector of units of one row stands at one step: what the printed equations read and write. */
typedef struct {
    const Layer *layer;
    const vec *sums;
    int64_t t, row, first_unit, hidden, place, x, slots, columns;
    int lanes, units, rows, unit_of_tile, row_of_tile, keep, last;
    int is_reset, is_cut;                 /* whether it starts from the fresh states; whether the next step does */
} At;

/* The last units of a row may be fewer than a vector has lanes: seldom, so one short function each will do. */
static __attribute__((noinline)) vec load_some(const REAL *from, int lanes) { return v_load_n(from, lanes); }
static __attribute__((noinline)) void store_some(REAL *to, vec value, int lanes) { v_store_n(to, value, lanes); }

INLINE vec load(const REAL *from, int lanes) { return lanes == V ? v_load(from) : load_some(from, lanes); }

INLINE void store(REAL *to, vec value, int lanes)
{
    if (lanes == V) v_store(to, value); else store_some(to, value, lanes);
}

#define READ(from) load(at->layer->from, at->lanes)
#define WRITE(to, value) store(at->layer->to, value, at->lanes)
#define OF_ROW at->row * at->hidden + at->first_unit

#define X(gate) READ(x + at->x + (gate) * at->hidden)
#define STATE(k) load(at->is_reset ? at->layer->fresh[k] + OF_ROW : at->layer->state[k] + at->place, at->lanes)
#define NEXT(k) READ(state[k] + at->place + at->layer->rows * at->hidden)
#define PARAM(k) READ(param[k] + at->first_unit)
#define MASK(k) READ(mask[k] + at->t * at->layer->mask_step[k] + at->row * at->layer->mask_row[k] + at->first_unit)
#define SLOT(k) READ(slots + at->slots + (k) * at->hidden)
#define COLUMN(k) READ(columns + at->columns + (k) * at->hidden)
#define TEMP(k) READ(temps + OF_ROW + (at->row * (TEMPS - 1) + (k)) * at->hidden)
/* The sum of a gate: of a product with so many gates, after products with `before` gates. */
#define SUM(before, gates, gate) \
    at->sums[at->rows * at->units * (before) + (at->row_of_tile * at->units + at->unit_of_tile) * (gates) + (gate)]
#define SET_NEXT(k, value) WRITE(state[k] + at->place + at->layer->rows * at->hidden, value)
#define SET_SLOT(k, value) WRITE(slots + at->slots + (k) * at->hidden, value)
#define SET_COLUMN(k, value) WRITE(columns + at->columns + (k) * at->hidden, value)
#define SET_TEMP(k, value) WRITE(temps + OF_ROW + (at->row * (TEMPS - 1) + (k)) * at->hidden, value)
#define SET_CARRY(k, value) WRITE(carry[k] + OF_ROW, value)
#define ADD_PARAM(k, value) WRITE(grad_param[k] + OF_ROW, READ(grad_param[k] + OF_ROW) + (value))
/* The gradient of a new state: from the step after, by value and by product, and from the outputs. Where that step starts
   from the fresh states, theirs is what comes from it. */
#define CARRIED(k) READ(carry[k] + OF_ROW)
#define ARRIVE(k, gradient) \
    vec ARRIVED_##k = gradient; \
    if (at->is_cut) WRITE(grad_fresh[k] + OF_ROW, READ(grad_fresh[k] + OF_ROW) + ARRIVED_##k), ARRIVED_##k = v_set(0)
#define OUTPUT_GRADIENT READ(grad_output[0] + at->place)
#define STATE_GRADIENT(k) (at->layer->grad_output[k] ? READ(grad_output[k] + at->place) : v_set(0))
#define RETURNED(before) (at->last ? v_set(0) : SUM(before, 1, 0))

INLINE int is_reset(const Layer *l, int64_t t, int64_t row)
{
    return t >= 0 && t < l->steps && l->resets[t * l->rows + row];
}

INLINE At locate(const Layer *l, int64_t t, int64_t row, int64_t unit)
{
    const int64_t H = l->hidden, step_row = t * l->rows + row;
    return (At){
        .layer = l, .t = t, .row = row, .first_unit = unit, .hidden = H,
        .place = step_row * H + unit,
        .x = !l->x ? 0 : (l->tokens ? l->tokens[step_row] : step_row) * GATES * H + unit,
        .slots = t * l->slot_step + row * SLOTS * H + unit,
        .columns = (step_row - l->first_step * l->rows) * l->column_row + unit,
        .is_reset = l->resets && is_reset(l, t, row), .is_cut = l->resets && is_reset(l, t + 1, row),
    };
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
    Rows rows = rows_at(l->state[k] + (t * l->rows + row) * l->hidden, l->hidden, count);
    for (int r = 0; l->resets && r < count; r++)
        if (is_reset(l, t, row + r)) rows.row[r] = l->fresh[k] + (row + r) * l->hidden;
    return rows;
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

/* sum[r][w] += rows[r][k] * weights[w]. The shorter side is loaded first, so that the sums, this side and one more vector
   are all that has to fit into the registers. */
INLINE void multiply_once(const int R, const int W, int64_t k, const Rows *rows, const REAL *weights, vec *sum)
{
    vec side[8 * SUMS];
    if (R < W) {
        for (int r = 0; r < R; r++) side[r] = v_set(rows->row[r][k]);
        for (int w = 0; w < W; w++) {
            vec weight = v_load(weights + w * V);
            IN_A_REGISTER(weight);
            for (int r = 0; r < R; r++) sum[r * W + w] += side[r] * weight;
        }
    } else {
        for (int w = 0; w < W; w++) {
            side[w] = v_load(weights + w * V);
            IN_A_REGISTER(side[w]);
        }
        for (int r = 0; r < R; r++) {
            const vec value = v_set(rows->row[r][k]);
            for (int w = 0; w < W; w++) sum[r * W + w] += value * side[w];
        }
    }
}

#define LINE (64 / (int)sizeof(REAL)) /* numbers that come into the cache together */
#define AHEAD 8                       /* how many k before they are multiplied weights are asked for: they may be far */

/* sums[r][w] = packed[0][w] + the sum over k of rows[r][k] * packed[1 + k][w], for R rows and W vectors. Where these are
   few, the k are shared out among several sums, so that an addition need not wait for the one before. */
INLINE void multiply_tile(const int R, const int W, int64_t K, const Rows *rows, const REAL *packed, vec *sums)
{
    const int parts = R * W <= SUMS / 6 ? 4 : R * W <= SUMS / 3 ? 2 : 1;
    vec sum[4][8 * SUMS];
    for (int p = 0; p < parts; p++)
        for (int r = 0; r < R; r++)
            for (int w = 0; w < W; w++) sum[p][r * W + w] = p ? v_set(0) : v_load(packed + w * V);
    int64_t k = 0;
    packed += W * V;
    for (; k + parts <= K; k += parts, packed += parts * W * V)
        for (int p = 0; p < parts; p++) {
            for (int i = 0; i < W * V; i += LINE) /* an address that may be past the last, hence not a pointer */
                __builtin_prefetch((void *)((uintptr_t)packed + ((AHEAD + p) * W * V + i) * sizeof(REAL)));
            multiply_once(R, W, k + p, rows, packed + p * W * V, sum[p]);
        }
    for (; parts > 1 && k < K; k++, packed += W * V) multiply_once(R, W, k, rows, packed, sum[0]);
    for (int i = 0; i < R * W; i++) {
        for (int p = 1; p < parts; p++) sum[0][i] += sum[p][i];
        IN_A_REGISTER(sum[0][i]); /* or else they are copied from memory to memory */
        sums[i] = sum[0][i];
    }
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

/* The same of weights as they lie, for a step that is not worth packing them: a sum over k for each gate and unit. */
static __attribute__((noinline)) void multiply_unpacked(const Layer *l, const Product *product, int64_t tile, int count,
                                                        const Rows rows, vec *sums)
{
    const int64_t H = l->hidden;
    for (int i = 0; i < product->units * product->gates * V; i++) {
        const int lane = i % V, gate = i / V % product->gates, u = i / V / product->gates;
        const int64_t unit = (tile * product->units + u) * V + lane;
        if (unit >= H) continue;
        const REAL *weight = l->weight + (product->rows[gate] * H + unit) * H;
        const REAL start = l->bias ? l->bias[product->rows[gate] * H + unit] : 0;
        for (int r = 0; r < count; r++) {
            const REAL *row = rows.row[r];
            vec part[4] = {{0}};
            int64_t k = 0;
            for (; k + 4 * V <= H; k += 4 * V)
                for (int p = 0; p < 4; p++) part[p] += v_load(row + k + p * V) * v_load(weight + k + p * V);
            part[0] = (part[0] + part[1]) + (part[2] + part[3]);
            REAL sum = start;
            for (int j = 0; j < V; j++) sum += part[0][j];
            for (; k < H; k++) sum += row[k] * weight[k];
            sums[(r * product->units + u) * product->gates + gate][lane] = sum;
        }
    }
}

/* One product of a tile; its sums lie after those of products with `before` gates, `widest` the most of one product. */
#define MULTIPLY(product, before, gates, widest, depth, rows) \
    if (l->weight) multiply_unpacked(l, &products[product], tile, count, rows, \
                                     sums + ROWS(widest) * UNITS(widest) * (before)); \
    else multiply(count, (gates) * UNITS(widest), depth, rows, \
             tile_of(l->packed[product], tile, depth, (gates) * UNITS(widest)), \
             sums + ROWS(widest) * UNITS(widest) * (before))

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
    const int64_t tiles = (end - first + rows - 1) / rows; /* of about as many rows each */
    const int64_t at_least = tiles ? (end - first) / tiles : 0, with_one_more = tiles ? (end - first) % tiles : 0;
    const int64_t wide = units * V, tiles_wide = (l->hidden + wide - 1) / wide;
    const int shared = l->meeting && !l->meeting->alone;
    const int64_t threads = shared ? l->meeting->threads : 1; /* alone, the first has all units, the others none */
    for (int64_t tile = tiles_wide * l->part / threads; tile < SMALLER(tiles_wide, tiles_wide * (l->part + 1) / threads); tile++)
        for (int64_t n = 0, unit = tile * wide, row = first, count; n < tiles; n++, row += count) {
            count = at_least + (n < with_one_more);
            multiply_all(l, t, row, count, tile, sums);
            for (int r = 0; r < count; r++)
                for (int u = 0; u < units && unit + u * V < l->hidden; u++) {
                    At at = locate(l, t, row + r, unit + u * V);
                    at.sums = sums, at.rows = rows, at.units = units, at.row_of_tile = r, at.unit_of_tile = u;
                    at.keep = keep, at.last = last;
                    const int64_t left = l->hidden - unit - u * V;
                    if (left >= V) {
                        at.lanes = V;
                        equations(&at);
                    } else {
                        At some = at; /* a copy: what a function that is called may see is kept in memory */
                        some.lanes = left;
                        evaluate_some(&some, equations);
                    }
                }
        }
    if (shared) meet(l->meeting);
}
