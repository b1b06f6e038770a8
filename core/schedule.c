#include "core/schedule.h"

#include <math.h>

const char *const schedule_names[SCHEDULE_COUNT] = {"constant", "linear", "cosine", "wsd"};

bool schedule_from_name(const char *name, ScheduleKind *out) {
    for (int k = 0; k < SCHEDULE_COUNT; k++)
        if (strcmp(name, schedule_names[k]) == 0) return *out = (ScheduleKind)k, true;
    return false;
}

double schedule_lr(const Schedule *s, int64_t i) {
    enum { WSD_DECAY = 5 }; /* the part of a run that decays is one of so many */
    if (i < s->warmup) return s->lr * (double)(i + 1) / (double)s->warmup;
    int64_t from = s->warmup;
    if (s->kind == SCHEDULE_WSD) from = MAX(from, s->updates - div_up(s->updates, WSD_DECAY));
    if (s->kind == SCHEDULE_CONSTANT || i < from) return s->lr;
    if (i >= s->updates) return 0;
    double done = (double)(i - from) / (double)(s->updates - from);
    return s->lr * (s->kind == SCHEDULE_COSINE ? 0.5 * (1 + cos(acos(-1.0) * done)) : 1 - done);
}
