// SPDX-License-Identifier: Apache-2.0
/*
 * What the parts of the generator share: the plan, what is recorded of each job, and the tasks that do the jobs.
 *
 * All of it lies in one mapping that the dispatcher and every process of a class share. Moments are CLOCK_MONOTONIC in
 * nanoseconds. schedtel/workloads/generator.py writes the plan and reads what was recorded: job and record there are the
 * dtypes of the same layout.
 */
#ifndef GENERATOR_H
#define GENERATOR_H

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#define NS_PER_S 1000000000ll
#define MOST_CLASSES 64
#define NAME_BYTES 16
#define PATH_BYTES 4096
#define CAUSE_BYTES 96

enum kind { CPU, SLEEP, PIPE, FORK, LOCK, FILE_IO, MEMORY };

struct job {
	s64 at_ns;			/* open: release after the start; closed: think time before the job */
	s64 work_ns;
	s32 class;
	s32 worker;			/* of a closed class, else -1 */
};

struct record {
	s64 released;			/* open: the dispatcher's wakeup; closed: the end of the think time */
	s64 started;
	_Atomic s64 ended;		/* written last; 0 while the job goes on */
	s64 cpu_ns;			/* of the task that did the job, without those it forked or woke */
};

struct treatment {
	u32 policy;
	s32 nice;
	u32 priority;
	s64 runtime_ns, deadline_ns, period_ns;
	bool pinned;
	cpu_set_t cpus;
};

struct class {
	char name[NAME_BYTES];
	bool open, threads, life;
	int workers;
	struct treatment treatment;
	enum kind kind;
	s64 count, first_number, second_number;	/* see behaviour.c */
	char directory[PATH_BYTES];	/* of file I/O */
	u64 first, jobs;		/* where its jobs lie in the plan */

	sem_t released;			/* jobs that wait for a worker */
	_Atomic u64 taken;		/* jobs that workers have taken */
	_Atomic u32 active;		/* workers of a closed class that may run: a futex */
	pthread_mutex_t lock;		/* of the behaviour LOCK */
	_Atomic u64 errors;		/* forks and file operations that the kernel refused */
	_Atomic u64 repeated;		/* jobs of closed workers that came to the end of their plan */
	_Atomic s64 forker_cpu_ns;	/* what it cost to fork the lives of this class */
};

/* From here on, a closed class has this number of active workers. */
struct change {
	u32 class, active;
	s64 at_ns;
};

struct shared {
	s64 duration_ns, drain_ns;
	double loops_per_us;
	u32 classes, changes, order;
	u64 jobs;
	struct class class[MOST_CLASSES];

	_Atomic u32 go;			/* a futex: 1 once started_ns is known */
	s64 started_ns;
	_Atomic bool stop;		/* closed workers take no further job */
	_Atomic u32 ready;		/* workers that have done what precedes their first job */
	_Atomic u32 busy;		/* closed workers inside of a job */
	_Atomic u64 finished;		/* jobs of open classes that have ended */
	_Atomic u32 failed;		/* 1 while cause is written, 2 once it can be read */
	char cause[CAUSE_BYTES + NAME_BYTES + PATH_BYTES];
};

/* One task that does jobs, and what its behaviour needs. */
struct worker {
	struct class *class;
	int number;
	int to_partner, from_partner;
	int file;
	char *memory;
};

extern struct shared *shared;
extern struct job *plan;
extern struct record *records;
extern s32 *release_order;
extern struct change *changes;
extern _Atomic bool interrupted;

/* clock.c */
s64 now_ns(void);
s64 cpu_time_ns(clockid_t clock);
void sleep_until(s64 moment);
void spin(u64 loops);
double calibrated(void);
u64 loops_of(s64 work_ns);
void wait_while(_Atomic u32 *word, u32 value);
void wake_all(_Atomic u32 *word);

/* plan.c */
void read_plan(void);
int refuse(const char *what, int error);

/* family.c */
pid_t fork_child(void);
void die_with_parent(int number, pid_t parent);
void end_descendants(void);

/* treatment.c */
int apply_treatment(const struct treatment *treatment, bool reset_on_fork);
bool come_first(void);
void fail(const struct class *class, const char *what, int error);

/* behaviour.c */
void prepare(struct worker *worker);
void behave(struct worker *worker, u64 loops);

/* partner.c */
void start_partner(struct worker *worker);
void end_partner(struct worker *worker);
void pass_back_and_forth(struct worker *worker, u64 loops);

/* tree.c */
void run_tree(struct worker *worker, u64 loops);

/* worker.c */
void start_class(struct class *class);
u32 tasks_of(const struct class *class);

/* dispatcher.c */
int run(void);

/* keeper.c */
int keep(char **command);

#endif
