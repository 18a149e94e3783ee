// SPDX-License-Identifier: Apache-2.0
/*
 * The dispatcher: releases each job at its planned moment, whatever became of the jobs before it. So a system that is
 * late does not slow down what arrives, and how late the dispatcher itself was is recorded for each job.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>

#include "generator.h"

/* The workers start in this time or the run is given up. */
#define PATIENCE_NS (60 * NS_PER_S)
#define LOOK_NS (NS_PER_S / 2000)
/* Between the moment at which the start is fixed and the start: until then, all workers are awake. */
#define HEAD_START_NS (NS_PER_S / 200)

static bool all_ready(void)
{
	s64 give_up = now_ns() + PATIENCE_NS;
	u32 wanted = 0, class;

	for (class = 0; class < shared->classes; class++)
		wanted += tasks_of(&shared->class[class]);
	while (shared->ready < wanted && !shared->failed && !interrupted && now_ns() < give_up)
		sleep_until(now_ns() + LOOK_NS);
	return shared->ready >= wanted && !shared->failed;
}

static void begin(void)
{
	shared->started_ns = now_ns() + HEAD_START_NS;
	shared->go = 1;
	wake_all(&shared->go);
}

static void change_phase(const struct change *change)
{
	struct class *class = &shared->class[change->class];

	class->active = change->active;
	wake_all(&class->active);
}

static void release(u32 index)
{
	s32 job = release_order[index];

	records[job].released = now_ns();
	sem_post(&shared->class[plan[job].class].released);
}

/* Releases and changes of phases, in the order of their moments. Returns how many jobs were released. */
static u32 dispatch(void)
{
	u32 next = 0, change = 0;

	while (!interrupted && !shared->failed && (next < shared->order || change < shared->changes)) {
		s64 job_at = next < shared->order ? plan[release_order[next]].at_ns : INT64_MAX;
		s64 change_at = change < shared->changes ? changes[change].at_ns : INT64_MAX;

		sleep_until(shared->started_ns + (job_at < change_at ? job_at : change_at));
		if (interrupted)
			break;
		if (change_at <= job_at)
			change_phase(&changes[change++]);
		else
			release(next++);
	}
	return next;
}

/* Let the jobs that have begun come to their end, for a while. */
static void drain(u32 released)
{
	s64 give_up = now_ns() + shared->drain_ns;

	shared->stop = true;
	while ((shared->finished < released || shared->busy) && !shared->failed && now_ns() < give_up) {
		struct timespec look = { 0, LOOK_NS };

		nanosleep(&look, NULL);	/* an interrupted run drains as well, so this is not sleep_until() */
	}
}

static void answer(u32 released, s64 ended_ns, s64 cpu_ns, bool is_fifo)
{
	u32 class;

	printf("{\"started_ns\":%ld,\"ended_ns\":%ld,\"released\":%u,\"interrupted\":%s,\"dispatcher_cpu_ns\":%ld,"
	       "\"dispatcher_policy\":\"%s\",\"classes\":[",
	       shared->started_ns, ended_ns, released, interrupted ? "true" : "false", cpu_ns,
	       is_fifo ? "fifo" : "other");
	for (class = 0; class < shared->classes; class++) {
		struct class *of = &shared->class[class];

		printf("%s{\"errors\":%lu,\"repeated\":%lu,\"forker_cpu_ns\":%ld}", class ? "," : "", of->errors,
		       of->repeated, of->forker_cpu_ns);
	}
	printf("]}\n");
	fwrite(records, sizeof(*records), shared->jobs, stdout);
	fflush(stdout);
}

/* Run the whole plan. Returns the status to exit with; every task that was started has ended by then. */
int run(void)
{
	struct treatment as_others = { .policy = SCHED_OTHER };
	s64 cpu_before, cpu_ns, ended_ns;
	bool is_fifo, is_ready;
	u32 class, released;

	for (class = 0; class < shared->classes; class++)
		start_class(&shared->class[class]);
	is_ready = all_ready();
	if (shared->failed || (!is_ready && !interrupted)) {
		end_descendants();
		return refuse(shared->failed == 2 ? shared->cause : "the workers did not start", 0);
	}
	is_fifo = come_first();
	begin();
	cpu_before = cpu_time_ns(CLOCK_PROCESS_CPUTIME_ID);
	released = dispatch();
	sleep_until(shared->started_ns + shared->duration_ns);
	cpu_ns = cpu_time_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
	ended_ns = now_ns();
	drain(released);
	apply_treatment(&as_others, false);
	end_descendants();
	if (shared->failed == 2)
		return refuse(shared->cause, 0);
	answer(released, ended_ns, cpu_ns, is_fifo);
	return 0;
}
