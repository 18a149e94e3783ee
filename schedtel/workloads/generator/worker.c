// SPDX-License-Identifier: Apache-2.0
/*
 * The tasks of a class. An open class has a pool that waits on a semaphore, or one task that forks a life for each job.
 * A closed class has workers that take their next job when the one before has ended and they have thought.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "generator.h"

/* Threads of a class, whose stacks need little. */
#define STACK_BYTES (256 << 10)

/* Tasks that report themselves ready. */
u32 tasks_of(const struct class *class)
{
	return class->life ? 1 : class->workers;
}

static void do_job(struct worker *worker, u64 job)
{
	struct record *record = &records[job];
	s64 cpu_before;

	record->started = now_ns();
	cpu_before = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID);
	behave(worker, loops_of(plan[job].work_ns));
	record->cpu_ns = cpu_time_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
	atomic_store(&record->ended, now_ns());
}

static void get_ready(struct worker *worker)
{
	int error = apply_treatment(&worker->class->treatment, false);

	if (error)
		fail(worker->class, "cannot have this policy, priority or these CPUs", error);
	prepare(worker);
}

static void report_ready(void)
{
	shared->ready++;
	wait_while(&shared->go, 0);
}

/* The job that this worker does next. The dispatcher has released it: each count of the semaphore is a job. */
static u64 take_job(struct class *class)
{
	while (sem_wait(&class->released))
		;			/* a signal, as of a debugger */
	return class->first + class->taken++;
}

static void serve(struct worker *worker)
{
	for (;;) {
		do_job(worker, take_job(worker->class));
		shared->finished++;
	}
}

/* ---- closed classes ---- */

/* Wait until the phase lets this worker run. */
static void wait_for_turn(struct worker *worker)
{
	u32 active;

	while ((active = worker->class->active) <= (u32)worker->number)
		wait_while(&worker->class->active, active);
}

static void do_closed_job(struct worker *worker, u64 job, s64 due)
{
	shared->busy++;
	if (!shared->stop) {
		records[job] = (struct record){ .released = due };
		do_job(worker, job);
	}
	shared->busy--;
}

static void go_round(struct worker *worker)
{
	struct class *class = worker->class;
	u64 each = class->jobs / class->workers, turn;
	u64 first = class->first + worker->number * each;
	s64 due;

	sleep_until(shared->started_ns);
	for (turn = 0; !shared->stop; turn++) {
		u64 job = first + turn % each;

		wait_for_turn(worker);
		due = now_ns() + plan[job].at_ns;
		if (plan[job].at_ns)
			sleep_until(due);
		if (turn >= each)
			class->repeated++;
		do_closed_job(worker, job, due);
	}
}

/* ---- lives ---- */

static void live_and_die(struct class *class, u64 job)
{
	struct worker worker = { .class = class };

	get_ready(&worker);
	do_job(&worker, job);
	shared->finished++;
	_exit(0);
}

static void reap(int *alive, int options)
{
	if (*alive && waitpid(-1, NULL, options) > 0)
		(*alive)--;
}

/* Forks lives, so that a fork delays no release of another class. */
static void fork_lives(struct class *class)
{
	int alive = 0;

	come_first();
	report_ready();
	for (;;) {
		u64 job = take_job(class);
		pid_t child;

		while (alive >= class->workers)
			reap(&alive, 0);
		child = fork_child();
		if (child == 0)
			live_and_die(class, job);
		if (child > 0)
			alive++;
		else
			class->errors++;
		reap(&alive, WNOHANG);
		reap(&alive, WNOHANG);
		class->forker_cpu_ns = cpu_time_ns(CLOCK_PROCESS_CPUTIME_ID);
	}
}

/* ---- starting ---- */

static void *work(void *argument)
{
	struct worker worker = *(struct worker *)argument;

	free(argument);
	get_ready(&worker);
	report_ready();
	if (worker.class->open)
		serve(&worker);
	else
		go_round(&worker);
	pause();			/* until it is killed, so that its books in /proc can be read */
	return NULL;
}

static struct worker *new_worker(struct class *class, int number)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker) {
		fail(class, "cannot start a worker", ENOMEM);
		_exit(1);
	}
	worker->class = class;
	worker->number = number;
	return worker;
}

static void start_threads(struct class *class)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int number, error = 0;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (number = 0; number < class->workers && !error; number++)
		error = pthread_create(&thread, &attributes, work, new_worker(class, number));
	if (error)
		fail(class, "cannot start a thread", error);
	for (;;)
		pause();
}

static void become(struct class *class, int number)
{
	prctl(PR_SET_NAME, class->name);
	prctl(PR_SET_TIMERSLACK, 1);
	if (class->life)
		fork_lives(class);
	else if (class->threads)
		start_threads(class);
	else
		work(new_worker(class, number));
	_exit(0);
}

void start_class(struct class *class)
{
	int number, processes = class->threads || class->life ? 1 : class->workers;

	for (number = 0; number < processes; number++) {
		pid_t child = fork_child();

		if (child == 0)
			become(class, number);
		if (child < 0)
			fail(class, "cannot start a process", errno);
	}
}
