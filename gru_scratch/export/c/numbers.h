/* The functions of the equations below, of one number. */

typedef REAL vec;
typedef int mask; /* its last bit is 1 where a comparison is true */

#define v_set(x) ((REAL)(x))
#define v_exp(x) exp(x)
#define v_expm1(x) expm1(x)
#define v_log(x) log(x)
#define v_log1p(x) log1p(x)
#define v_sqrt(x) sqrt(x)
#define v_abs(x) fabs(x)
#define v_tanh(x) tanh(x)
#define v_sin(x) sin(x)
#define v_cos(x) cos(x)
#define v_pow(x, y) pow(x, y)
static inline vec v_sigmoid(vec x) { return 1 / (1 + exp(-x)); }
static inline vec v_min(vec a, vec b) { return a < b || a != a ? a : b; }
static inline vec v_max(vec a, vec b) { return a > b || a != a ? a : b; }
static inline vec v_select(mask m, vec a, vec b) { return m & 1 ? a : b; }

#define X(gate) x_[(gate) * HIDDEN + unit_]
#define PRODUCT(gate) product_[(gate) * HIDDEN + unit_]
#define STATE(number) state_[(number) * HIDDEN + unit_]
#define PARAM(number) layer_->param[(number) * HIDDEN + unit_]
#define MASK(number) layer_->param[(PARAMS + (number)) * HIDDEN + unit_]
#define SLOT(number) slot_[(number) * HIDDEN + unit_]
#define NEXT(number) next_[(number) * HIDDEN + unit_]

/* vector (from) times a matrix whose rows (from, to) lie one after another, plus bias: no sum has to be reordered. */
static void multiply(int from, int to, const REAL *restrict vector, const REAL *restrict rows, const REAL *restrict bias,
                     REAL *restrict out)
{
    for (int j = 0; j < to; j++) out[j] = bias[j];
    for (int k = 0; k < from; k++)
        for (int j = 0; j < to; j++) out[j] += vector[k] * rows[(size_t)k * to + j];
}
