/* evit_runner: times TFLite models with LiteRT, on the device that it runs on.
 *
 * One process takes a whole list of models, in a shuffled order in every round, and reads
 * temperature and clock right around the timed runs. Each turn (a model in a round) is a child
 * of that process, in which the library is loaded already: a model that crashes or hangs costs
 * its own turn. The clock is around `invoke` alone; loading, packing weights and the warm-up are
 * outside. Every line of the program's own begins with the token, so that what the library
 * prints cannot be mistaken for it; devices/phone_job.py reads them, devices/native_runner.py
 * reads the result line.
 *
 * LiteRT's C interface is declared here, as far as it is used; all handles are pointers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef void *Handle;
typedef struct { int32_t element; int32_t layout[63]; } TensorType; /* larger than LiteRT's */
typedef struct { Handle environment, model, compiled, signature; } Loaded;
enum { OK = 0, FLOAT32 = 1, CPU = 1, READ = 0, WRITE = 1, MOST_TENSORS = 16 };

int LiteRtCreateEnvironment(int count, const void *options, Handle *environment);
int LiteRtCreateModelFromFile(Handle environment, const char *path, Handle *model);
int LiteRtCreateOptions(Handle *options);
int LiteRtSetOptionsHardwareAccelerators(Handle options, int accelerators);
int LiteRtCreateOpaqueOptions(const char *name, void *text, void (*release)(void *), Handle *);
int LiteRtAddOpaqueOptions(Handle options, Handle opaque);
int LiteRtCreateCompiledModel(Handle environment, Handle model, Handle options, Handle *compiled);
int LiteRtCompiledModelIsFullyAccelerated(Handle compiled, bool *answer);
int LiteRtGetModelSignature(Handle model, size_t index, Handle *signature);
int LiteRtGetNumSignatureInputs(Handle signature, size_t *count);
int LiteRtGetNumSignatureOutputs(Handle signature, size_t *count);
int LiteRtGetSignatureInputTensorByIndex(Handle signature, size_t index, Handle *tensor);
int LiteRtGetSignatureOutputTensorByIndex(Handle signature, size_t index, Handle *tensor);
int LiteRtGetRankedTensorType(Handle tensor, TensorType *type);
int LiteRtGetCompiledModelInputBufferRequirements(Handle, size_t signature, size_t, Handle *);
int LiteRtGetCompiledModelOutputBufferRequirements(Handle, size_t signature, size_t, Handle *);
int LiteRtCreateManagedTensorBufferFromRequirements(Handle, const TensorType *, Handle, Handle *);
int LiteRtGetTensorBufferPackedSize(Handle buffer, size_t *bytes);
int LiteRtLockTensorBuffer(Handle buffer, void **address, int mode);
int LiteRtUnlockTensorBuffer(Handle buffer);
int LiteRtRunCompiledModel(Handle compiled, size_t signature, size_t input_count, Handle *inputs,
                           size_t output_count, Handle *outputs);

enum { MOST_SENSORS = 64, PATIENCE = 4, TIMED_OUT = 124, BAD_USAGE = 2 };

static struct {
    long threads, min_runs, max_runs, warmup_runs, rounds, timeout_s;
    unsigned long long seed;
    double min_s;
    int xnnpack;
    const char *token, *inputs, *outputs;
    const char *sensors[MOST_SENSORS], *clocks[MOST_SENSORS];
    int sensor_count, clock_count;
    const char **models;
    int model_count;
} plan = {.threads = 1, .min_runs = 5, .max_runs = 200, .warmup_runs = 3, .rounds = 1,
          .timeout_s = 60, .min_s = 0.01, .xnnpack = 1, .token = "@evit"};

static const char HELP[] =
    "evit_runner: elasticvit's own runner, experimental\n"
    "Flags:\n"
    "\t--graph=\tstring\trequired\ta model; repeat for more\n"
    "\t--num_runs=5\tint\toptional\ttimed runs at least\n"
    "\t--max_runs=200\tint\toptional\ttimed runs at most\n"
    "\t--min_secs=0.01\tfloat\toptional\tseconds of timed runs at least\n"
    "\t--warmup_runs=3\tint\toptional\truns before the clock counts\n"
    "\t--num_threads=1\tint\toptional\tinference threads\n"
    "\t--use_xnnpack=true\tbool\toptional\trun on the XNNPACK delegate\n"
    "\t--rounds=1\tint\toptional\thow often the list is gone through\n"
    "\t--seed=0\tint\toptional\tof the order in each round; 0 keeps the list's\n"
    "\t--timeout_secs=60\tint\toptional\tlongest time of one model in one round\n"
    "\t--sensor=\tstring\toptional\tfile that tells a temperature; repeat for more\n"
    "\t--clock=\tstring\toptional\tfile that tells a core's clock; repeat for more\n"
    "\t--inputs=\tstring\toptional\tfile of inputs, one after the other, to run untimed\n"
    "\t--outputs=\tstring\toptional\tfolder for the last outputs, INDEX.bin\n"
    "\t--token=@evit\tstring\toptional\tbegins the lines of the protocol\n";

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static long interruptions(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_nivcsw;
}

static void print_files(char name, const char **paths, int count) {
    printf(" %c", name);
    for (int i = 0; i < count; i++) {
        char text[32] = "";
        FILE *file = fopen(paths[i], "r");
        if (file != NULL) {
            if (fscanf(file, "%31s", text) != 1) text[0] = 0;
            fclose(file);
        }
        printf(",%s", text);
    }
}

/* `TOKEN before INDEX t,41000,40000 f,1803000` */
static void print_state(const char *when, int index) {
    printf("\n%s %s %d", plan.token, when, index);
    print_files('t', plan.sensors, plan.sensor_count);
    print_files('f', plan.clocks, plan.clock_count);
    printf("\n");
}

static void fail(const char *what) {
    printf("evit_error %s\n", what);
    fflush(stdout);
    _exit(1);
}

static void check(int status, const char *what) {
    if (status != OK) fail(what);
}

static void load(const char *path, Loaded *at) {
    Handle options, cpu;
    char text[80];
    check(LiteRtCreateEnvironment(0, NULL, &at->environment), "no environment");
    check(LiteRtCreateModelFromFile(at->environment, path, &at->model), "cannot load the model");
    check(LiteRtGetModelSignature(at->model, 0, &at->signature), "the model has no signature");
    check(LiteRtCreateOptions(&options), "no options");
    check(LiteRtSetOptionsHardwareAccelerators(options, CPU), "no CPU");
    snprintf(text, sizeof text, "kernel_mode = \"%s\"\nnum_threads = %ld\n",
             plan.xnnpack ? "xnnpack" : "builtin", plan.threads);
    check(LiteRtCreateOpaqueOptions("xnnpack", strdup(text), free, &cpu), "no CPU options");
    check(LiteRtAddOpaqueOptions(options, cpu), "no CPU options");
    check(LiteRtCreateCompiledModel(at->environment, at->model, options, &at->compiled),
          "the library refuses the model");
}

/* Buffers of all inputs or all outputs; returns how many. */
static size_t make_buffers(const Loaded *at, int input, Handle *buffers) {
    size_t count = 0;
    check((input ? LiteRtGetNumSignatureInputs : LiteRtGetNumSignatureOutputs)(
              at->signature, &count), "no signature");
    if (count > MOST_TENSORS) fail("too many inputs or outputs");
    for (size_t i = 0; i < count; i++) {
        Handle tensor, needs;
        TensorType type;
        check((input ? LiteRtGetSignatureInputTensorByIndex
                     : LiteRtGetSignatureOutputTensorByIndex)(at->signature, i, &tensor),
              "no tensor");
        check(LiteRtGetRankedTensorType(tensor, &type), "a tensor without a shape");
        check((input ? LiteRtGetCompiledModelInputBufferRequirements
                     : LiteRtGetCompiledModelOutputBufferRequirements)(at->compiled, 0, i, &needs),
              "no buffer");
        check(LiteRtCreateManagedTensorBufferFromRequirements(at->environment, &type, needs,
                                                              &buffers[i]), "no buffer");
        if (!input) continue;
        /* Values in [-1, 1) that any program can compute again; other types than float: zero. */
        size_t bytes = 0;
        float *values;
        check(LiteRtGetTensorBufferPackedSize(buffers[i], &bytes), "no buffer");
        check(LiteRtLockTensorBuffer(buffers[i], (void **)&values, WRITE), "no buffer");
        memset(values, 0, bytes);
        for (size_t j = 0; type.element == FLOAT32 && j < bytes / sizeof(float); j++)
            values[j] = (float)((double)((uint32_t)j * 2654435761u) / 2147483648.0 - 1);
        check(LiteRtUnlockTensorBuffer(buffers[i]), "no buffer");
    }
    return count;
}

static void write_outputs(Handle *buffers, size_t count, int index, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%d.bin", plan.outputs, index);
    FILE *file = fopen(path, mode);
    if (file == NULL) fail("cannot write outputs");
    for (size_t i = 0; i < count; i++) {
        size_t bytes = 0;
        void *values;
        check(LiteRtGetTensorBufferPackedSize(buffers[i], &bytes), "no buffer");
        check(LiteRtLockTensorBuffer(buffers[i], &values, READ), "no buffer");
        if (fwrite(values, 1, bytes, file) != bytes) fail("cannot write outputs");
        check(LiteRtUnlockTensorBuffer(buffers[i]), "no buffer");
    }
    if (fclose(file) != 0) fail("cannot write outputs");
}

/* One run for each input of a file; `evit_outputs COUNT`. */
static void compute(const Loaded *at, Handle *inputs, size_t in, Handle *outputs, size_t out,
                    int index) {
    if (in != 1 || plan.outputs == NULL) fail("inputs need a model with one and a folder");
    size_t bytes = 0;
    check(LiteRtGetTensorBufferPackedSize(inputs[0], &bytes), "no buffer");
    FILE *file = fopen(plan.inputs, "rb");
    void *given = malloc(bytes);
    if (file == NULL || given == NULL) fail("cannot read inputs");
    long count = 0;
    size_t read;
    while ((read = fread(given, 1, bytes, file)) == bytes) {
        void *values;
        check(LiteRtLockTensorBuffer(inputs[0], &values, WRITE), "no buffer");
        memcpy(values, given, bytes);
        check(LiteRtUnlockTensorBuffer(inputs[0]), "no buffer");
        check(LiteRtRunCompiledModel(at->compiled, 0, in, inputs, out, outputs), "a run failed");
        write_outputs(outputs, out, index, count++ == 0 ? "wb" : "ab");
    }
    if (read != 0) fail("the inputs do not fit the model");
    printf("evit_outputs %ld\n", count);
    fflush(stdout);
    _exit(0);
}

/* One model in one round; runs in a child and does not return. */
static void time_model(int index) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)plan.timeout_s);
    Loaded at;
    Handle inputs[MOST_TENSORS], outputs[MOST_TENSORS];
    load(plan.models[index], &at);
    size_t in = make_buffers(&at, 1, inputs), out = make_buffers(&at, 0, outputs);
    if (plan.inputs != NULL) compute(&at, inputs, in, outputs, out, index);
    bool delegated = false;
    check(LiteRtCompiledModelIsFullyAccelerated(at.compiled, &delegated), "no delegate");
    for (long i = 0; i < plan.warmup_runs; i++)
        check(LiteRtRunCompiledModel(at.compiled, 0, in, inputs, out, outputs), "a run failed");
    int64_t *samples = malloc(sizeof *samples * (size_t)plan.max_runs);
    if (samples == NULL) fail("no memory for the samples");
    print_state("before", index);
    int64_t used = 0;
    long count = 0, interrupted = 0, seen = interruptions();
    while (count < plan.max_runs) {
        int64_t start = now_ns();
        int status = LiteRtRunCompiledModel(at.compiled, 0, in, inputs, out, outputs);
        samples[count] = now_ns() - start;
        check(status, "a run failed");
        used += samples[count++];
        long now = interruptions();
        interrupted += now != seen;
        seen = now;
        /* Interrupted runs stay in the samples, but do not count towards the least number. */
        int enough = count - interrupted >= plan.min_runs || count >= PATIENCE * plan.min_runs;
        if (enough && count >= plan.min_runs && (double)used >= plan.min_s * 1e9) break;
    }
    print_state("after", index);
    if (plan.outputs != NULL) write_outputs(outputs, out, index, "wb");
    printf("evit_result delegated=%d interrupted=%ld samples_ns=", delegated, interrupted);
    for (long i = 0; i < count; i++) printf(i ? ",%lld" : "%lld", (long long)samples[i]);
    printf("\n");
    fflush(stdout);
    _exit(0);
}

static void take_turn(int index) {
    struct stat file;
    if (stat(plan.models[index], &file) != 0 || file.st_size == 0) {
        printf("%s missing %d\n", plan.token, index);
        fflush(stdout);
        return;
    }
    print_state("before", index); /* forgets what the model before left; the child says it anew */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) time_model(index);
    int status = 0, code = 1;
    struct rusage used = {0};
    if (child > 0) {
        while (wait4(child, &status, 0, &used) < 0 && errno == EINTR) {}
        if (WIFEXITED(status)) code = WEXITSTATUS(status);
        else code = WTERMSIG(status) == SIGALRM ? TIMED_OUT : 128 + WTERMSIG(status);
    }
    if (code == 0) printf("\nevit_peak kib=%ld", used.ru_maxrss);
    printf("\n%s end %d %d\n", plan.token, index, code);
    fflush(stdout);
}

static void shuffle(int *order, int count, uint64_t *state) {
    for (int i = count - 1; i > 0; i--) { /* Fisher-Yates on xorshift64 */
        *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
        int j = (int)(*state % (uint64_t)(i + 1)), held = order[i];
        order[i] = order[j], order[j] = held;
    }
}

static int refuse(const char *argument) {
    fprintf(stderr, "evit_runner: %s: unknown flag or bad value; see --help\n", argument);
    return BAD_USAGE;
}

static int parse_long(const char *text, long least, long *target) {
    char *end;
    errno = 0;
    *target = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && *target >= least;
}

/* `--name=value`; 0 where the flag is unknown or its value is none. */
static int parse(const char *argument) {
    const char *equals = strchr(argument, '='), *value = equals + 1;
    if (equals == NULL || strncmp(argument, "--", 2) != 0) return 0;
    size_t length = (size_t)(equals - argument) - 2;
#define IS(name) (length == sizeof(name) - 1 && strncmp(argument + 2, name, length) == 0)
    if (IS("graph")) return plan.models[plan.model_count++] = value, 1;
    if (IS("num_runs")) return parse_long(value, 1, &plan.min_runs);
    if (IS("max_runs")) return parse_long(value, 1, &plan.max_runs);
    if (IS("warmup_runs")) return parse_long(value, 0, &plan.warmup_runs);
    if (IS("num_threads")) return parse_long(value, 1, &plan.threads);
    if (IS("rounds")) return parse_long(value, 1, &plan.rounds);
    if (IS("timeout_secs")) return parse_long(value, 1, &plan.timeout_s);
    if (IS("seed")) return parse_long(value, 0, (long *)&plan.seed);
    if (IS("min_secs")) {
        char *end;
        plan.min_s = strtod(value, &end);
        return end != value && *end == 0 && plan.min_s >= 0;
    }
    if (IS("use_xnnpack")) {
        plan.xnnpack = strcmp(value, "true") == 0;
        return plan.xnnpack || strcmp(value, "false") == 0;
    }
    if (IS("token")) return plan.token = value, 1;
    if (IS("inputs")) return plan.inputs = value, 1;
    if (IS("outputs")) return plan.outputs = value, 1;
    if (IS("sensor") && plan.sensor_count < MOST_SENSORS)
        return plan.sensors[plan.sensor_count++] = value, 1;
    if (IS("clock") && plan.clock_count < MOST_SENSORS)
        return plan.clocks[plan.clock_count++] = value, 1;
    return 0;
}

int main(int count, char **arguments) {
    plan.models = calloc((size_t)count, sizeof *plan.models);
    int *order = calloc((size_t)count, sizeof *order);
    if (plan.models == NULL || order == NULL) return 1;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--help") == 0) {
            fputs(HELP, stdout);
            return 0;
        }
        if (!parse(arguments[i])) return refuse(arguments[i]);
    }
    if (plan.model_count == 0) return refuse("no --graph");
    if (plan.max_runs < plan.min_runs) plan.max_runs = plan.min_runs;
    for (int i = 0; i < plan.model_count; i++) order[i] = i;
    uint64_t state = plan.seed * 0x9E3779B97F4A7C15u;
    for (long round = 0; round < plan.rounds; round++) {
        if (state != 0) shuffle(order, plan.model_count, &state);
        for (int i = 0; i < plan.model_count; i++) take_turn(order[i]);
    }
    printf("%s done\n", plan.token);
    return 0;
}
