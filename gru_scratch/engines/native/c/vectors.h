/* Vectors of float or double, and the functions that gate equations need, on any of them.

   Compiled with REAL defined as float or double (`#define REAL float` above the #include, or -DREAL=float), once for
   each precision. Plain C on the vector extensions of gcc, which clang and zig take too, so that one text serves every
   processor: + - * / and comparisons work on a `vec` as on a number, and a comparison gives a `mask`, all bits of a
   lane set where it is true. No intrinsics, hence no header that takes a compiler half a second to read.

   The rules that every function keeps, because PyTorch's operators keep them:
     - NaN stays NaN. Limits are therefore `select(x > limit, limit, x)`, where a NaN compares false and passes.
     - Zeros keep their sign, infinities have their limits, subnormal numbers are numbers like others.
     - exp, expm1, tanh, sigmoid, log, log1p, sin and cos are within 3 units in the last place (tests/engines/native).

   It relies on a compiler that does not reorder sums (no -ffast-math) but may contract a * b + c into one rounding. */

#ifndef GRU_SCRATCH_VECTORS_H
#define GRU_SCRATCH_VECTORS_H

#ifndef REAL
#error "define REAL as float or double"
#endif

#include <float.h>
#include <math.h>

/* The preprocessor cannot compare the names of types; pasted to these, REAL becomes a number that it can. */
#define REAL_IS_float 0
#define REAL_IS_double 1
#define PASTE_NOW(a, b) a##b
#define PASTE(a, b) PASTE_NOW(a, b)
#define DOUBLE PASTE(REAL_IS_, REAL)

#if defined(VECTOR_BYTES) /* a test's choice: the compiler makes any width of what there is */
#elif defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else /* SSE2, NEON */
#define VECTOR_BYTES 16
#endif

typedef REAL vec __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL unaligned_vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef __typeof__((vec){0} == (vec){0}) mask; /* integers as wide as REAL */

enum { V = VECTOR_BYTES / sizeof(REAL) }; /* lanes of a vector */

/* Without it a compiler may call these functions, and pass every vector through memory. */
#define VECTOR static inline __attribute__((always_inline, unused))

/* ---- Loading, storing, selecting ---- */

VECTOR vec v_set(REAL x) { return x - (vec){0}; } /* minus: -0 + 0 would be +0 */

VECTOR vec v_load(const REAL *from) { return *(const unaligned_vec *)from; }

VECTOR void v_store(REAL *to, vec x) { *(unaligned_vec *)to = x; }

/* The first n lanes, 0 <= n <= V; the others are zero. */
VECTOR vec v_load_n(const REAL *from, int n) {
    vec x = {0};
    for (int i = 0; i < V; i++)
        if (i < n) x[i] = from[i];
    return x;
}

VECTOR void v_store_n(REAL *to, vec x, int n) {
    for (int i = 0; i < V; i++)
        if (i < n) to[i] = x[i];
}

/* a where m is true, else b. */
VECTOR vec v_select(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }

/* The smaller and the larger; NaN if either is, as torch.minimum and torch.maximum have it. */
VECTOR vec v_min(vec a, vec b) { return v_select((a < b) | (a != a), a, b); }
VECTOR vec v_max(vec a, vec b) { return v_select((a > b) | (a != a), a, b); }

#define SIGN ((mask)v_set((REAL)-0.0)) /* the bit of the sign alone */

VECTOR vec v_abs(vec x) { return (vec)((mask)x & ~SIGN); }
VECTOR vec v_copysign(vec size, vec sign) { return (vec)(((mask)size & ~SIGN) | ((mask)sign & SIGN)); }

/* ---- Lane by lane, for what cells seldom ask ---- */

#define EACH_LANE(result, expression) \
    vec result; \
    for (int i = 0; i < V; i++) result[i] = (expression)

#if DOUBLE
#define LIBM(name) name
#else
#define LIBM(name) name##f
#endif

VECTOR vec v_sqrt(vec x) { EACH_LANE(root, LIBM(__builtin_sqrt)(x[i])); return root; } /* becomes one instruction */
VECTOR vec v_pow(vec x, vec y) { EACH_LANE(power, LIBM(pow)(x[i], y[i])); return power; }

/* ---- Constants, polynomials, and numbers as bits ----

   The coefficients are our own: fitted by Remez' exchange in 50 digits, for the smallest relative error of the result,
   and rounded. Which polynomial is which is said where it is used. */

#if DOUBLE
typedef unsigned long long lane_bits;
#define MANTISSA_BITS 52
#define EXPONENT_OF_ONE 1023
#define SMALLEST_NORMAL DBL_MIN
#define EXP_IS_ZERO -746.0 /* beyond these x, a function is its limit as rounded */
#define EXP_IS_INFINITE 710.0
#define EXPM1_IS_MINUS_ONE -60.0
#define TANH_IS_ONE 20.0
#define LN2_HIGH 0x1.62e42fefap-1 /* so few bits that a whole number times it is exact */
#define LN2_LOW 0x1.cf79abc9e3b3ap-40
#define PI_2_HIGH 0x1.921fb54442dp+0
#define PI_2_MIDDLE 0x1.8469898cc51p-48
#define PI_2_LOW 0x1.c06e0e6894812p-94
static const double EXP_Q[] = {0.5, 0.166666666666666758, 0.0416666666666666985, 0.00833333333332218833,
                               0.00138888888888679276, 0.000198412698848413892, 2.48015873587727788e-5,
                               2.75572454086230677e-6, 2.75572440776036786e-7, 2.51086446981266132e-8,
                               2.0924081327322315e-9};
static const double LOG_S[] = {0.666666666666671482, 0.399999999995207977, 0.28571428721950804, 0.222222004497127325,
                               0.181834752146030152, 0.153161641536667277, 0.147761353169804401};
static const double SIN_S[] = {-0.166666666666666392, 0.00833333333332377954, -0.000198412698307091779,
                               2.7557313960910339e-6, -2.5050795359742774e-8, 1.58987420376138039e-10};
static const double COS_C[] = {0.0416666666666666075, -0.00138888888888753267, 2.48015872901526881e-5,
                               -2.75573145283985118e-7, 2.08757453165900036e-9, -1.13607096891647132e-11};
#else
typedef unsigned lane_bits;
#define MANTISSA_BITS 23
#define EXPONENT_OF_ONE 127
#define SMALLEST_NORMAL FLT_MIN
#define EXP_IS_ZERO -104.0f
#define EXP_IS_INFINITE 89.0f
#define EXPM1_IS_MINUS_ONE -30.0f
#define TANH_IS_ONE 10.0f
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define PI_2_HIGH 0x1.921fp+0f
#define PI_2_MIDDLE 0x1.6a88p-17f
#define PI_2_LOW 0x1.0b4612p-34f
static const float EXP_Q[] = {0.500000005833480612f, 0.16666545449934406f, 0.0416662904756415874f,
                              0.00836634735208234001f, 0.00139459963049259172f};
static const float LOG_S[] = {0.666667707372216185f, 0.399780920433549439f, 0.298592353493475761f};
static const float SIN_S[] = {-0.166666555193678694f, 0.00833220496546679829f, -0.000195202054814166634f};
static const float COS_C[] = {0.0416666474141238846f, -0.00138873902498380675f, 2.44407277732679934e-5f};
#endif

typedef lane_bits bits __attribute__((vector_size(VECTOR_BYTES)));

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* c[0] + c[1] x + c[2] x^2 + ..., by Horner's rule. */
VECTOR vec v_polynomial(vec x, const REAL *c, int length) {
    vec sum = v_set(c[length - 1]);
    for (int k = length - 2; k >= 0; k--) sum = sum * x + c[k];
    return sum;
}

/* The bits of one number in every lane. */
#define BITS(x) ((mask)v_set((REAL)(x)))

/* So large that no fraction fits behind it: x + ROUNDER is rounded to a whole number, which its lowest bits hold. */
#define ROUNDER ((REAL)1.5 * (1ull << MANTISSA_BITS))

/* ---- Exponentials ----

   x = n ln 2 + r with a whole n and |r| <= ln 2 / 2; then exp(x) = 2^n exp(r), and exp(r) - 1 = r + r^2 Q(r). */

/* Returns exp(r) - 1, and n where a number has its exponent: BITS(1) + *exponent are the bits of 2^n. */
VECTOR vec v_split_expm1(vec x, mask *exponent) {
    vec rounded = x * (REAL)0x1.71547652b82fep+0 + ROUNDER;
    vec n = rounded - ROUNDER;
    vec r = x - n * LN2_HIGH - n * LN2_LOW;
    *exponent = (mask)rounded << MANTISSA_BITS;
    return r + r * r * v_polynomial(r, EXP_Q, LENGTH(EXP_Q));
}

VECTOR vec v_at_least(vec x, REAL limit) { return v_select(x < limit, v_set(limit), x); }
VECTOR vec v_at_most(vec x, REAL limit) { return v_select(x > limit, v_set(limit), x); }

/* 2^n can be too small or too large for a number where 2^n exp(r) is one: two factors, each of which is one. */
VECTOR vec v_exp(vec x) {
    mask exponent, small = x < 0;
    vec p = v_split_expm1(v_at_most(v_at_least(x, EXP_IS_ZERO), EXP_IS_INFINITE), &exponent);
    vec first = (vec)(exponent + (mask)v_select(small, v_set(0x1p64), v_set(0.5)));
    return (1 + p) * first * v_select(small, v_set(0x1p-64), v_set(2));
}

/* exp(x) of x <= 0, and of NaN. */
VECTOR vec v_exp_below_zero(vec x) {
    mask exponent;
    vec p = v_split_expm1(v_at_least(x, EXP_IS_ZERO), &exponent);
    return (1 + p) * (vec)(exponent + BITS(0x1p64)) * (REAL)0x1p-64;
}

/* 2^n (exp(r) - 1) + (2^n - 1), of half of 2^n, which is a number even where 2^n is too large for one. */
VECTOR vec v_expm1(vec x) {
    mask exponent;
    vec p = v_split_expm1(v_at_most(v_at_least(x, EXPM1_IS_MINUS_ONE), EXP_IS_INFINITE), &exponent);
    vec half = (vec)(exponent + BITS(0.5));
    return v_copysign(2 * (half * p + (half - (REAL)0.5)), x);
}

/* 1 / (1 + exp(-x)); where x < 0, exp(x) / (1 + exp(x)), in which nothing overflows. */
VECTOR vec v_sigmoid(vec x) {
    vec e = v_exp_below_zero(-v_abs(x));
    return v_select(x < 0, e, v_set(1)) / (1 + e);
}

/* e / (e + 2) with e = exp(2 |x|) - 1, which is exact to the last digits near 0, too. */
VECTOR vec v_tanh(vec x) {
    mask exponent;
    vec p = v_split_expm1(2 * v_at_most(v_abs(x), TANH_IS_ONE), &exponent);
    vec power = (vec)(exponent + BITS(1));
    vec e = power * p + (power - 1);
    return v_copysign(e / (e + 2), x);
}

/* ---- Logarithms ----

   x = 2^k m with sqrt(1/2) <= m < sqrt(2), and f = m - 1. With s = f / (2 + f), log(m) = 2 artanh(s) = 2 s + s z S(z),
   where z = s^2; and because 2 s = f - s f, the large part of it is f, which is exact. */

/* log(x) + more, of a normal number x > 0. */
VECTOR vec v_log_plus(vec x, vec more) {
    /* The bits of a number are its exponent, and below it m, from 1 on: moved so that m goes from sqrt(1/2) on. */
    const REAL start = (REAL)0x1.6a09e667f3bcdp-1;
    bits shifted = (bits)x + (bits)(BITS(1) - BITS(start));
    vec m = (vec)((shifted & (((lane_bits)1 << MANTISSA_BITS) - 1)) + (bits)BITS(start));
    /* As the lowest bits of a number whose last bit is worth 1, the exponent is a number, too. */
    const REAL base = (REAL)(1ull << MANTISSA_BITS);
    vec k = (vec)((shifted >> MANTISSA_BITS) | (bits)BITS(base)) - (base + EXPONENT_OF_ONE);

    vec f = m - 1;
    vec s = f / (m + 1);
    vec z = s * s;
    vec rest = s * (f - z * v_polynomial(z, LOG_S, LENGTH(LOG_S)));
    return k * LN2_HIGH + (f - (rest - (k * LN2_LOW + more)));
}

/* log_x where x is a number above 0, and what a logarithm is elsewhere. */
VECTOR vec v_log_at_limits(vec x, vec log_x) {
    vec nothing = v_select(x == 0, v_set(-INFINITY), v_set(NAN));
    return v_select(x > 0, v_select(x < INFINITY, log_x, x), v_select(x <= 0, nothing, x));
}

VECTOR vec v_log(vec x) {
    mask subnormal = x < SMALLEST_NORMAL;
    vec normal = v_select(subnormal, x * (REAL)0x1p64, x);
    vec more = (vec)(subnormal & BITS(-64 * 0.693147180559945309417)); /* log(2^-64) */
    return v_log_at_limits(x, v_log_plus(normal, more));
}

/* log(u) of u = 1 + x as rounded, plus what the rounding lost, found exactly: log(u + lost) = log(u) + lost / u. */
VECTOR vec v_log1p(vec x) {
    vec u = 1 + x;
    vec near_x = u - 1;
    vec lost = (x - near_x) + (1 - (u - near_x));
    return v_copysign(v_log_at_limits(u, v_log_plus(u, lost / u)), x);
}

/* ---- Sine and cosine ----

   x = n pi / 2 + r with a whole n and |r| <= pi / 4. With z = r^2, sin(r) = r + r z S(z) and cos(r) = 1 - z / 2 +
   z^2 C(z); which of the two it is, and its sign, follow from the last two bits of n. */

/* sin(x + quarters pi / 2), where |x| is at most FAR. */
VECTOR vec v_sin_ahead(vec x, int quarters) {
    vec rounded = x * (REAL)0x1.45f306dc9c883p-1 + ROUNDER;
    vec n = rounded - ROUNDER;
    vec r = x - n * PI_2_HIGH - n * PI_2_MIDDLE - n * PI_2_LOW;
    vec z = r * r;
    vec sine = r * (1 + z * v_polynomial(z, SIN_S, LENGTH(SIN_S))); /* a product, which keeps the sign of a zero */
    vec cosine = 1 - (z / 2 - z * z * v_polynomial(z, COS_C, LENGTH(COS_C)));
    mask quarter = (mask)rounded + quarters;
    vec size = v_select((quarter & 1) != 0, cosine, sine);
    return (vec)((mask)size ^ ((quarter << (8 * sizeof(REAL) - 2)) & SIGN)); /* the second bit, moved to the sign */
}

#define FAR 200 /* up to here n times the high part of pi / 2 is exact, and n times the middle part */

VECTOR int v_any(mask m) {
    int any = 0;
    for (int i = 0; i < V; i++) any |= m[i] != 0;
    return any;
}

VECTOR vec v_sin(vec x) {
    if (v_any(v_abs(x) > FAR)) { EACH_LANE(far, LIBM(sin)(x[i])); return far; }
    return v_sin_ahead(x, 0);
}

VECTOR vec v_cos(vec x) {
    if (v_any(v_abs(x) > FAR)) { EACH_LANE(far, LIBM(cos)(x[i])); return far; }
    return v_sin_ahead(x, 1);
}

#endif
