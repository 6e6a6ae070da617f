/* Vectors of float or double, and the functions that gate equations need, on any of them.

   Compiled with REAL defined as float or double (`#define REAL float` above the #include, or -DREAL=float), once for
   each precision. Plain C on the vector extensions of gcc, which clang and zig take too, so that one text serves every
   processor: + - * / and comparisons work on a `vec` as on a number, and a comparison gives a `mask`, all bits of a
   lane set where it is true. No intrinsics, hence no header that takes a compiler half a second to read.

   The rules that every function keeps, because PyTorch's operators keep them:
     - NaN stays NaN. Limits are therefore `select(x > limit, limit, x)`, where a NaN compares false and passes.
     - Zeros keep their sign, infinities have their limits, subnormal numbers are numbers like others.
     - exp, expm1, tanh, sigmoid, log and log1p are within 3 units in the last place (tests/engines/native).

   It relies on a compiler that does not reorder sums (no -ffast-math) but may contract a * b + c into one rounding. */

#ifndef GRU_SCRATCH_VECTORS_H
#define GRU_SCRATCH_VECTORS_H

#ifndef REAL
#error "define REAL as float or double"
#endif

#include <float.h>
#include <math.h>
#include <string.h>

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


/* ---- A function of libm, lane by lane: for what cells seldom ask ---- */

#define EACH_LANE(result, expression) \
    vec result; \
    for (int i = 0; i < V; i++) result[i] = (expression)

#if DOUBLE
#define LIBM(name) name
#else
#define LIBM(name) name##f
#endif

VECTOR vec v_sqrt(vec x) { EACH_LANE(root, LIBM(__builtin_sqrt)(x[i])); return root; } /* becomes one instruction */
VECTOR vec v_sin(vec x) { EACH_LANE(sine, LIBM(sin)(x[i])); return sine; }
VECTOR vec v_cos(vec x) { EACH_LANE(cosine, LIBM(cos)(x[i])); return cosine; }
VECTOR vec v_pow(vec x, vec y) { EACH_LANE(power, LIBM(pow)(x[i], y[i])); return power; }


/* ---- Exponentials ----

   x = n ln 2 + r with a whole n and |r| <= ln 2 / 2; then exp(x) = 2^n exp(r), and exp(r) - 1 = r + r^2 Q(r). The
   coefficients of Q, and those of the logarithm below, are our own: fitted by Remez' exchange in 50 digits, for the
   smallest relative error of the result, and rounded. */

#if DOUBLE
typedef unsigned long long lane_bits;
#define MANTISSA_BITS 52
#define EXPONENT_OF_ONE 1023
#define SMALLEST_NORMAL DBL_MIN
#define LN2_HIGH 0x1.62e42fefap-1 /* so few bits that n times it is exact */
#define LN2_LOW 0x1.cf79abc9e3b3ap-40
static const double EXP_Q[] = {0.5, 0.166666666666666758, 0.0416666666666666985, 0.00833333333332218833,
                               0.00138888888888679276, 0.000198412698848413892, 2.48015873587727788e-5,
                               2.75572454086230677e-6, 2.75572440776036786e-7, 2.51086446981266132e-8,
                               2.0924081327322315e-9};
static const double LOG_S[] = {0.666666666666671482, 0.399999999995207977, 0.28571428721950804, 0.222222004497127325,
                               0.181834752146030152, 0.153161641536667277, 0.147761353169804401};
#else
typedef unsigned lane_bits;
#define MANTISSA_BITS 23
#define EXPONENT_OF_ONE 127
#define SMALLEST_NORMAL FLT_MIN
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
static const float EXP_Q[] = {0.500000005833480612f, 0.16666545449934406f, 0.0416662904756415874f,
                              0.00836634735208234001f, 0.00139459963049259172f};
static const float LOG_S[] = {0.666667707372216185f, 0.399780920433549439f, 0.298592353493475761f};
#endif

typedef lane_bits bits __attribute__((vector_size(VECTOR_BYTES)));

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* c[0] + c[1] x + c[2] x^2 + ..., by Horner's rule. */
VECTOR vec v_polynomial(vec x, const REAL *c, int length) {
    vec sum = v_set(c[length - 1]);
    for (int k = length - 2; k >= 0; k--) sum = sum * x + c[k];
    return sum;
}

/* A vector of numbers taken as integers, and the bits of one number in every lane. */
#define BITS(x) ((mask)v_set((REAL)(x)))

/* Returns exp(r) - 1, and n where a number has its exponent: BITS(1) + *exponent are the bits of 2^n. */
VECTOR vec v_split_expm1(vec x, mask *exponent) {
    /* So large a number has no room for a fraction: adding it rounds x / ln 2, and leaves n in the lowest bits. */
    const REAL rounder = (REAL)1.5 * (1ull << MANTISSA_BITS);
    vec rounded = x * (REAL)0x1.71547652b82fep+0 + rounder;
    vec n = rounded - rounder;
    vec r = x - n * LN2_HIGH - n * LN2_LOW;
    *exponent = (mask)rounded << MANTISSA_BITS;
    return r + r * r * v_polynomial(r, EXP_Q, LENGTH(EXP_Q));
}

/* Beyond these x, a function is its limit as rounded. */
#if DOUBLE
#define EXP_IS_ZERO -746.0
#define EXP_IS_INFINITE 710.0
#define EXPM1_IS_MINUS_ONE -60.0
#define TANH_IS_ONE 20.0
#else
#define EXP_IS_ZERO -104.0f
#define EXP_IS_INFINITE 89.0f
#define EXPM1_IS_MINUS_ONE -30.0f
#define TANH_IS_ONE 10.0f
#endif

VECTOR vec v_at_least(vec x, REAL limit) { return v_select(x < limit, v_set(limit), x); }
VECTOR vec v_at_most(vec x, REAL limit) { return v_select(x > limit, v_set(limit), x); }

/* 2^n alone can be too small or too large for a number where 2^n exp(r) is one: half the way each time. */
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

/* 1 / (1 + exp(-x)), written so that a small result keeps its digits: exp(x) / (1 + exp(x)) where x < 0. */
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

/* log(x) + more, of a normal number x > 0, where more is small beside log(x) or x is near 1. */
VECTOR vec v_log_plus(vec x, vec more) {
    /* The bits of a number are a whole number of which 2^k is the high part: shifted so that m starts at sqrt(1/2). */
    const REAL start = (REAL)0x1.6a09e667f3bcdp-1;
    bits shifted = (bits)x + (bits)(BITS(1) - BITS(start));
    vec m = (vec)((shifted & (((lane_bits)1 << MANTISSA_BITS) - 1)) + (bits)BITS(start));
    /* The exponent's bits, laid under a number whose last bit is worth 1, are read as a number. */
    const REAL base = (REAL)(1ull << MANTISSA_BITS);
    vec k = (vec)((shifted >> MANTISSA_BITS) | (bits)BITS(base)) - (base + EXPONENT_OF_ONE);

    vec f = m - 1;
    vec s = f / (m + 1);
    vec z = s * s;
    vec rest = s * (f - z * v_polynomial(z, LOG_S, LENGTH(LOG_S)));
    return k * LN2_HIGH + (f - (rest - (k * LN2_LOW + more)));
}

/* What log_x, meant for numbers x > 0, becomes at 0, below it, at infinity and of NaN. */
VECTOR vec v_log_at_limits(vec x, vec log_x) {
    vec nothing = v_select(x == 0, v_set(-INFINITY), v_set(NAN));
    return v_select(x > 0, v_select(x < INFINITY, log_x, x), v_select(x <= 0, nothing, x));
}

VECTOR vec v_log(vec x) {
    mask subnormal = x < SMALLEST_NORMAL;
    vec normal = v_select(subnormal, x * (REAL)0x1p64, x);
    vec more = (vec)(subnormal & BITS(-64 * 0.693147180559945309417));
    return v_log_at_limits(x, v_log_plus(normal, more));
}

/* log(u) of u = 1 + x as rounded, plus what the rounding lost, found exactly: log(u + lost) = log(u) + lost / u. */
VECTOR vec v_log1p(vec x) {
    vec u = 1 + x;
    vec near_x = u - 1;
    vec lost = (x - near_x) + (1 - (u - near_x));
    return v_copysign(v_log_at_limits(u, v_log_plus(u, lost / u)), x);
}

#endif
