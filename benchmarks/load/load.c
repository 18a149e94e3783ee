/*
 * Loads that perf bench does not have. The first argument chooses the load. Each load prints what it did and how many
 * nanoseconds that took. Each worker sleeps on its own futex, so that a pulse wakes exactly the chosen workers.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("sched_setaffinity");
}

static void forked_or_fail(pid_t pid)
{
	if (pid < 0)
		fail("fork");
	if (pid == 0)	/* a child ends with its parent */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* ---- spin MILLIONS: a fixed amount of arithmetic on every CPU at once ---- */

static void *spin_lane(void *argument)
{
	uint64_t steps = *(uint64_t *)argument * 1000000, x = 1;

	while (steps--)
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
	return (void *)(uintptr_t)x;	/* otherwise the compiler removes the loop */
}

static void spin(uint64_t millions)
{
	long lanes = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t thread[lanes];
	uint64_t begin = now();
	long i;

	for (i = 0; i < lanes; i++)
		if (pthread_create(&thread[i], 0, spin_lane, &millions))
			fail("pthread_create");
	for (i = 0; i < lanes; i++)
		pthread_join(thread[i], 0);
	printf("%llu\n", (unsigned long long)(now() - begin));
}

static void *shared(size_t size)
{
	void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		fail("mmap");
	return memory;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* ---- forks COUNT LANES: fork, exec, exit, wait; lives COUNT LANES: threads that end at once; prints total ns ---- */

static void fork_lane(long count)
{
	pid_t pid;

	while (count--) {
		pid = fork();
		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			execl("/proc/self/exe", "load", "nothing", (char *)0);
			_exit(127);
		}
		waitpid(pid, 0, 0);
	}
}

static void *nothing(void *argument)
{
	return argument;
}

static void life_lane(long count)
{
	pthread_t thread;

	while (count--) {
		if (pthread_create(&thread, 0, nothing, 0))
			fail("pthread_create");
		pthread_join(thread, 0);
	}
}

/* Each lane is a process, and all lanes run in parallel. */
static void in_lanes(long count, long lanes, void (*lane)(long))
{
	uint64_t begin = now();
	long i;

	for (i = 0; i < lanes; i++) {
		pid_t pid = fork();

		forked_or_fail(pid);
		if (pid == 0) {
			lane(count / lanes);
			_exit(0);
		}
	}
	while (wait(0) > 0)
		;
	printf("%llu\n", (unsigned long long)(now() - begin));
}

/* ---- pairs that pass a byte to and fro ---- */

struct pair {
	pid_t other;
	int there[2], back[2];
};

static void pass(int from, int to)
{
	char byte = 0;

	if (read(from, &byte, 1) != 1 || write(to, &byte, 1) != 1)
		_exit(0);
}

static struct pair begin_pair(void)
{
	struct pair pair;

	if (pipe(pair.there) || pipe(pair.back))
		fail("pipe");
	pair.other = fork();
	forked_or_fail(pair.other);
	if (pair.other == 0) {
		close(pair.there[1]);
		for (;;)
			pass(pair.there[0], pair.back[1]);
	}
	return pair;
}

static void round_trip(const struct pair *pair)
{
	char byte = 0;

	if (write(pair->there[1], &byte, 1) != 1 || read(pair->back[0], &byte, 1) != 1)
		fail("pipe");
}

static void end(pid_t other)
{
	kill(other, SIGKILL);
	waitpid(other, 0, 0);
}

/*
 * ---- pipe TRIPS CPU: one pair on one CPU; prints the ns of each 500 round trips, and those of a yardstick ----
 *
 * The yardstick is the same work without the scheduler: this task writes a byte into a pipe and reads it back, so no
 * task waits. It runs before and after each chunk, and the longer time is printed. If that is long, another guest was
 * using this CPU's core.
 */

#define TRIPS 500
#define YARDSTICK 100

static uint64_t nanoseconds_of(const struct pair *pair, int trips)
{
	uint64_t begin = now();

	while (trips--)
		round_trip(pair);
	return now() - begin;
}

static void pipe_on(uint64_t trips, int cpu)
{
	uint64_t count = trips / TRIPS, took[count + 1], yard[count + 1], i;
	struct pair pair, own;

	pin(cpu);
	if (pipe(own.there))
		fail("pipe");
	own.back[0] = own.there[0];	/* this task reads back what it writes */
	pair = begin_pair();
	nanoseconds_of(&own, YARDSTICK);
	yard[0] = nanoseconds_of(&own, YARDSTICK);
	for (i = 0; i < count; i++) {
		took[i] = nanoseconds_of(&pair, TRIPS);
		yard[i + 1] = nanoseconds_of(&own, YARDSTICK);
	}
	end(pair.other);
	for (i = 0; i < count; i++)
		printf("%llu %llu\n", (unsigned long long)took[i],
		       (unsigned long long)(yard[i] > yard[i + 1] ? yard[i] : yard[i + 1]));
}

/*
 * ---- yardstick: runs until stdin ends; then prints the ns of each piece of work, the shortest first ----
 *
 * On each CPU, every 4 ms, a real-time task does the same small piece of kernel work: it maps, touches and unmaps some
 * pages. While other guests use the cores of these CPUs, the piece takes longer, and so does the load beside it. A
 * watcher is called when the task wakes up and when it sleeps, but not while the piece is timed.
 */

#define PIECES 16384
#define PAGES 16

static uint64_t nanoseconds_of_pages(int pages)
{
	size_t size = sysconf(_SC_PAGESIZE);
	uint64_t begin = now();
	char *memory = mmap(0, pages * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i;

	if (memory == MAP_FAILED)
		fail("mmap");
	for (i = 0; i < pages; i++)
		memory[i * size] = 1;
	munmap(memory, pages * size);
	return now() - begin;
}

static void yardstick_lane(uint64_t *took)
{
	const struct sched_param first = { .sched_priority = 1 };
	const struct timespec pause = { .tv_nsec = 4000000 };
	uint64_t i;

	if (sched_setscheduler(0, SCHED_FIFO, &first))
		fail("sched_setscheduler");
	for (i = 0;; i++) {
		nanosleep(&pause, 0);
		nanoseconds_of_pages(PAGES);	/* brings the code of the timed call into the caches */
		took[i % PIECES] = nanoseconds_of_pages(PAGES);
	}
}

static void yardstick(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), cpu;
	uint64_t count = cpus * PIECES, i, *took = shared(count * sizeof(*took));
	pid_t lanes[cpus];

	for (cpu = 0; cpu < cpus; cpu++) {
		lanes[cpu] = fork();
		forked_or_fail(lanes[cpu]);
		if (lanes[cpu] == 0) {
			pin(cpu);
			yardstick_lane(&took[cpu * PIECES]);
		}
	}
	while (getchar() != EOF)
		;
	for (cpu = 0; cpu < cpus; cpu++)
		end(lanes[cpu]);
	qsort(took, count, sizeof(took[0]), by_size);
	for (i = 0; i < count; i++)
		if (took[i])
			printf("%llu\n", (unsigned long long)took[i]);
}

/* ---- switches RATE MILLISECONDS: pairs on every CPU make RATE switches a second; prints switches and ns ---- */

/* A round trip is two switches. Round trips that do not fit into a tick are not made up for later. */
static void switch_lane(uint64_t per_tick, uint64_t tick_ns, uint64_t ticks, _Atomic uint64_t *trips)
{
	struct pair pair = begin_pair();
	struct timespec next;
	uint64_t i, tick;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (tick = 0; tick < ticks; tick++) {
		uint64_t end = next.tv_sec * 1000000000ULL + next.tv_nsec + tick_ns;

		for (i = 0; i < per_tick && now() < end; i++) {
			round_trip(&pair);
			(*trips)++;
		}
		next.tv_nsec += tick_ns;
		while (next.tv_nsec >= 1000000000) {
			next.tv_nsec -= 1000000000;
			next.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, 0);
	}
	end(pair.other);
}

static void switches(uint64_t rate, uint64_t milliseconds)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), i;
	_Atomic uint64_t *trips = shared(cpus * 64);
	/* A tick is a millisecond, or at low rates the time between two round trips of a pair. */
	uint64_t per_tick = rate / 2 / 1000 / cpus, tick_ns = per_tick ? 1000000 : 2000000000ULL * cpus / rate;
	uint64_t total = 0, begin = now();

	for (i = 0; i < cpus; i++) {
		pid_t pid = fork();

		forked_or_fail(pid);
		if (pid == 0) {
			pin(i);
			switch_lane(per_tick ? per_tick : 1, tick_ns, milliseconds * 1000000 / tick_ns, &trips[i * 8]);
			_exit(0);
		}
	}
	while (wait(0) > 0)
		;
	for (i = 0; i < cpus; i++)
		total += trips[i * 8];
	printf("%llu %llu\n", (unsigned long long)(2 * total), (unsigned long long)(now() - begin));
}

/* ---- threads COUNT, processes COUNT: all sleep; a number on a line of stdin wakes so many of them once ---- */

struct workers {
	_Atomic uint32_t left;
	_Atomic uint32_t calls[];
};

static struct workers *workers;

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load(word) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, 0, 0, 0);
}

static void wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, 0, 0, 0);
}

static void *work(void *argument)
{
	_Atomic uint32_t *calls = &workers->calls[(uintptr_t)argument];
	uint32_t seen = 0;

	for (;;) {
		sleep_while(calls, seen++);
		if (atomic_fetch_sub(&workers->left, 1) == 1)
			wake(&workers->left);
	}
	return 0;
}

static void start_thread(uintptr_t number)
{
	pthread_attr_t attributes;
	pthread_t thread;

	/* No guard pages: each would be a mapping of its own, of which a process may have 65,530. */
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 16384);
	pthread_attr_setguardsize(&attributes, 0);
	if (pthread_create(&thread, &attributes, work, (void *)number))
		fail("pthread_create (are pid_max, threads-max and ulimit -u large enough?)");
	pthread_attr_destroy(&attributes);
}

static void start_process(uintptr_t number)
{
	pid_t pid = fork();

	forked_or_fail(pid);
	if (pid == 0)
		work((void *)number);
	printf("%d ", pid);
}

static void pulse(uint32_t count)
{
	uint32_t i, left;

	atomic_store(&workers->left, count);
	for (i = 0; i < count; i++) {
		atomic_fetch_add(&workers->calls[i], 1);
		wake(&workers->calls[i]);
	}
	while ((left = atomic_load(&workers->left)))
		sleep_while(&workers->left, left);
}

static void serve(uint32_t count, void (*start)(uintptr_t))
{
	char line[32];
	uintptr_t i;

	workers = shared(sizeof(*workers) + count * sizeof(workers->calls[0]));
	for (i = 0; i < count; i++)
		start(i);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		uint32_t asked = strtoul(line, 0, 10);

		pulse(asked < count ? asked : count);
		puts("done");
		fflush(stdout);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	uint64_t first = argc > 2 ? strtoull(argv[2], 0, 10) : 0, second = argc > 3 ? strtoull(argv[3], 0, 10) : 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!strcmp(mode, "nothing"))
		return 0;
	if (!strcmp(mode, "spin"))
		spin(first);
	else if (!strcmp(mode, "forks"))
		in_lanes(first, second ? second : 1, fork_lane);
	else if (!strcmp(mode, "lives"))
		in_lanes(first, second ? second : 1, life_lane);
	else if (!strcmp(mode, "pipe"))
		pipe_on(first, second);
	else if (!strcmp(mode, "yardstick"))
		yardstick();
	else if (!strcmp(mode, "switches"))
		switches(first, second);
	else if (!strcmp(mode, "threads"))
		serve(first, start_thread);
	else if (!strcmp(mode, "processes"))
		serve(first, start_process);
	else
		return 2;
	return 0;
}
