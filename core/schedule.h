/* Learning rates over a run: a warm-up, then a curve. A function of the update alone, so that a run that is continued
 * goes on where it was. */
#ifndef CORE_SCHEDULE_H
#define CORE_SCHEDULE_H

#include "core/base.h"

typedef enum ScheduleKind {
    SCHEDULE_CONSTANT,
    SCHEDULE_LINEAR, /* down to 0 after the last update */
    SCHEDULE_COSINE, /* half a wave down to 0 */
    SCHEDULE_WSD,    /* warm-up, stable, decay: constant, and linear to 0 over the last fifth (Hu et al. 2024) */
    SCHEDULE_COUNT
} ScheduleKind;
extern const char *const schedule_names[SCHEDULE_COUNT];

typedef struct Schedule {
    ScheduleKind kind;
    double lr;       /* the highest */
    int64_t updates; /* of the whole run */
    int64_t warmup;  /* updates in which it rises: update i has (i + 1) / warmup of lr */
} Schedule;

bool schedule_from_name(const char *name, ScheduleKind *out); /* false: unknown */
/* Learning rate of update i, counted from 0. Behind the last one it stays as it would end. */
double schedule_lr(const Schedule *s, int64_t i);

#endif
