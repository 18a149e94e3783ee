// SPDX-License-Identifier: Apache-2.0
/* Time, and work that is a number of loops: it is the same work whatever the scheduler and the clock do. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "generator.h"

/* A signal between the look at a flag and the sleep is missed; then the sleeper looks again after this time. */
#define LONGEST_SLEEP_NS (NS_PER_S / 10)
#define CALIBRATIONS 40
#define CALIBRATION_LOOPS 1000000ull

s64 now_ns(void)
{
	return cpu_time_ns(CLOCK_MONOTONIC);
}

s64 cpu_time_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

/* Sleep until a moment, or until a signal has interrupted the dispatcher. */
void sleep_until(s64 moment)
{
	s64 now = now_ns();

	while (now < moment && !interrupted) {
		s64 until = moment - now > LONGEST_SLEEP_NS ? now + LONGEST_SLEEP_NS : moment;
		struct timespec time = { until / NS_PER_S, until % NS_PER_S };

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
		now = now_ns();
	}
}

/*
 * Each turn needs the product of the one before, so its time is that of a multiplication and an addition. Where the loop
 * lies in memory, and what the processor could do beside it, changes nothing.
 */
__attribute__((noinline)) void spin(u64 loops)
{
	u64 value = 1;

	for (; loops; loops--) {
		value = value * 6364136223846793005ull + 1442695040888963407ull;
		__asm__ volatile("" : "+r"(value));
	}
}

/* Loops per microsecond: those of the quickest of many runs, since whatever disturbs a run makes it longer. */
double calibrated(void)
{
	s64 least = INT64_MAX;
	int run;

	for (run = 0; run < CALIBRATIONS; run++) {
		s64 begin = now_ns(), took;

		spin(CALIBRATION_LOOPS);
		took = now_ns() - begin;
		if (took < least)
			least = took;
	}
	return CALIBRATION_LOOPS * 1000.0 / (double)least;
}

u64 loops_of(s64 work_ns)
{
	u64 loops = (u64)((double)work_ns * shared->loops_per_us / 1000.0);

	return loops ? loops : 1;
}

void wait_while(_Atomic u32 *word, u32 value)
{
	while (atomic_load(word) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

void wake_all(_Atomic u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
