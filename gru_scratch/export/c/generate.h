/* What follows is the same in every exported model: reading a prefix, choosing tokens, printing. */

static void read_token(int token)
{
    static REAL x[GATES * HIDDEN], embedded[INPUT];
    const REAL *below = embedded;
    if (token == RESET_AT) memcpy(state, initial, sizeof state);
    if (EMBEDDED) {
        for (int k = 0; k < INPUT; k++) embedded[k] = embedding[k * VOCAB + token];
    }
    for (int k = 0; k < LAYERS; k++) {
        if (k == 0 && !EMBEDDED)
            memcpy(x, layers[0].input + (size_t)token * GATES * HIDDEN, sizeof x);
        else
            multiply(k ? HIDDEN : INPUT, GATES * HIDDEN, below, layers[k].input, layers[k].input_bias, x);
        step(&layers[k], x, state[k]);
        below = state[k];
    }
}

static uint64_t random_bits; /* splitmix64, whose authors put it into the public domain */

static double uniform(void)
{
    uint64_t z = (random_bits += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

/* The likeliest token; at a temperature above 0 one that is drawn, but never the unknown one, number 0. */
static int choose(double temperature)
{
    static REAL scores[VOCAB];
    static double share[VOCAB];
    multiply(HIDDEN, VOCAB, state[LAYERS - 1], head, head_bias, scores);
    int best = temperature > 0 && VOCAB > 1 ? 1 : 0;
    for (int k = best + 1; k < VOCAB; k++)
        if (scores[k] > scores[best]) best = k;
    if (temperature <= 1e-30) return best;
    double sum = 0;
    for (int k = 1; k < VOCAB; k++) sum += share[k] = exp((double)(scores[k] - scores[best]) / temperature);
    double left = uniform() * sum;
    for (int k = 1; k < VOCAB; k++)
        if ((left -= share[k]) < 0) return k;
    return best;
}

static void fail(const char *what, const char *received, int length)
{
    fprintf(stderr, "error: %s, received '%.*s'\n", what, length, received);
    exit(2);
}

static double number(const char *text, const char *what, double least)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value < 1e18)) fail(what, text, (int)strlen(text));
    return value;
}

/* Letters a to z in lower case and single spaces, line by line, as the text of the run was cleaned. */
static void clean(char *text)
{
    char *to = text;
    int line_has_letters = 0, gap = 0;
    for (const char *from = text; *from; from++) {
        int is_upper = *from >= 'A' && *from <= 'Z';
        if (*from == '\n' || *from == '\r')
            line_has_letters = gap = 0;
        else if (is_upper || (*from >= 'a' && *from <= 'z')) {
            if (line_has_letters && gap) *to++ = ' ';
            *to++ = (char)(is_upper ? *from - 'A' + 'a' : *from);
            line_has_letters = 1;
            gap = 0;
        } else
            gap = 1;
    }
    *to = 0;
}

/* How many bytes the token at the start of a text has; 0 where the text has no more. Words lie between white space. */
static int token_length(const char **text)
{
    static const char white[] = " \t\n\v\f\r";
    if (WORDS) {
        *text += strspn(*text, white);
        return (int)strcspn(*text, white);
    }
    int length = **text != 0;
    while (length && CHARACTERS && ((*text)[length] & 0xc0) == 0x80) length++;
    return length;
}

static void print(int token, int is_first)
{
    if (WORDS && !is_first) putchar(' ');
    fwrite(vocabulary[token].text, 1, (size_t)vocabulary[token].length, stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: %s PREFIX [LENGTH [TEMPERATURE [SEED]]]\n", argv[0]);
        return 2;
    }
    double length = argc > 2 ? number(argv[2], "LENGTH must be a number of at least 0", 0) : 200;
    double temperature = argc > 3 ? number(argv[3], "TEMPERATURE must be a number of at least 0", 0) : 0;
    random_bits = argc > 4 ? (uint64_t)number(argv[4], "SEED must be a number of at least 0", 0) : (uint64_t)time(NULL);
    if (CLEANED) clean(argv[1]);
    memcpy(state, initial, sizeof state);
    const char *prefix = argv[1];
    int count = 0;
    for (int size; (size = token_length(&prefix)) > 0; prefix += size) {
        int token = 0;
        while (token < VOCAB && (vocabulary[token].length != size || memcmp(vocabulary[token].text, prefix, (size_t)size)))
            token++;
        if (token == VOCAB) fail("the prefix must have tokens of the model's vocabulary", prefix, size);
        read_token(token);
        print(token, !count++);
    }
    if (!count) fail("the prefix must have a token to start from", argv[1], (int)strlen(argv[1]));
    for (; length >= 1; length--) {
        int token = choose(temperature);
        print(token, 0);
        read_token(token);
    }
    putchar('\n');
    return 0;
}
