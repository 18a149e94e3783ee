/*
 * What the kernel tests make happen. The first argument chooses a mode; each mode does exactly one thing, and prints
 * the ids of the tasks that it makes where the test cannot know them. The environment has PIN, the CPU to stay on, and
 * GATED: then the mode begins once the test closes standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void nap(double seconds)
{
	struct timespec t = { (time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9) };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static void spin(double seconds)
{
	double end = now() + seconds;

	while (now() < end)
		;
}

static pid_t gettid_(void)
{
	return syscall(SYS_gettid);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("workloads: cannot pin");
		exit(2);
	}
}

/* Wait until the parent closes standard input. */
static void wait_to_be_let_go(void)
{
	char byte;

	while (read(0, &byte, 1) > 0)
		;
}

/* hog SECONDS: burn CPU, then stop, so that the test can read the kernel's accounting. */
static int hog(double seconds)
{
	spin(seconds);
	raise(SIGSTOP);
	return 0;
}

/* napper SECONDS: sleep a millisecond at a time, then stop. */
static int napper(double seconds)
{
	double end = now() + seconds;

	while (now() < end)
		nap(0.001);
	raise(SIGSTOP);
	return 0;
}

/* storm CHILDREN: fork, exit, wait, one after another. */
static int storm(int children)
{
	for (int i = 0; i < children; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(i & 0x7f);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}

/* pingpong ROUNDS: two processes and two pipes. */
static int pingpong(int rounds)
{
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) || pipe(back))
		return 1;
	if (fork() == 0) {
		close(there[1]); /* otherwise the child does not see its parent's end */
		for (int i = 0; i < rounds; i++)
			if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < rounds; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			return 1;
	return wait(NULL) < 0;
}

static double thread_seconds;
static atomic_int threads_ready;

static void *sleeping_thread(void *unused)
{
	threads_ready++;
	nap(thread_seconds);
	return unused;
}

/* threads COUNT SECONDS: COUNT threads at once, each of which sleeps. */
static int threads(int count, double seconds)
{
	pthread_attr_t attributes;
	pthread_t thread;

	thread_seconds = seconds;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < count; i++)
		if (pthread_create(&thread, &attributes, sleeping_thread, NULL))
			return 1;
	while (threads_ready < count)
		nap(0.001);
	printf("%d\n", getpid());
	fflush(stdout);
	nap(seconds + 0.5);
	return 0;
}

static void *outliving_thread(void *unused)
{
	printf("%d\n", gettid_());
	fflush(stdout);
	wait_to_be_let_go();
	return unused;
}

/* leader: the group's leader exits; its thread exits once the test closes standard input. */
static int leader_exits_first(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, outliving_thread, NULL);
	pthread_exit(NULL);
}

static char *own_name;

static void *execing_thread(void *unused)
{
	printf("%d\n", gettid_());
	fflush(stdout);
	nap(0.1);
	execl("/proc/self/exe", own_name, "sleep", "0.3", NULL);
	return unused;
}

/* exec: a thread that is not the leader execs, and takes over the leader's tid. */
static int exec_from_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, execing_thread, NULL);
	pause();
	return 1;
}

/* reuse CHILDREN: short children one after another, some of which run for a while; prints their pids. */
static int reuse(int children)
{
	for (int i = 0; i < children; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			if (i % 16 == 0)
				spin(0.0005);
			_exit(0);
		}
		printf("%d\n", pid);
		if (waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}

/* exits THREADS: short threads, many of them at the same time, all within a moment. */
static void *short_thread(void *unused)
{
	return unused;
}

static int exits(int count)
{
	pthread_attr_t attributes;
	pthread_t batch[100];

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (int done = 0; done < count; done += 100) {
		for (int i = 0; i < 100; i++)
			if (pthread_create(&batch[i], &attributes, short_thread, NULL))
				return 1;
		for (int i = 0; i < 100; i++)
			pthread_join(batch[i], NULL);
	}
	return 0;
}

/* rename TIMES: two tasks yield to each other (a switch while runnable), each time under another name. */
static int rename_and_yield(int times)
{
	char name[16];
	pid_t child = fork();

	for (int i = 0; i < times; i++) {
		snprintf(name, sizeof(name), "name-%d", i);
		prctl(PR_SET_NAME, name);
		sched_yield();
	}
	if (!child)
		_exit(0);
	return waitpid(child, NULL, 0) != child;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	double number = argc > 2 ? atof(argv[2]) : 0;

	own_name = argv[0];
	if (getenv("PIN"))
		pin(atoi(getenv("PIN")));
	if (getenv("GATED"))
		wait_to_be_let_go();
	if (!strcmp(mode, "hog"))
		return hog(number);
	if (!strcmp(mode, "spin"))
		return spin(number), 0;
	if (!strcmp(mode, "napper"))
		return napper(number);
	if (!strcmp(mode, "sleep"))
		return nap(number), 0;
	if (!strcmp(mode, "storm"))
		return storm(number);
	if (!strcmp(mode, "pingpong"))
		return pingpong(number);
	if (!strcmp(mode, "threads"))
		return threads(number, atof(argv[3]));
	if (!strcmp(mode, "leader"))
		return leader_exits_first();
	if (!strcmp(mode, "exec"))
		return exec_from_thread();
	if (!strcmp(mode, "reuse"))
		return reuse(number);
	if (!strcmp(mode, "exits"))
		return exits(number);
	if (!strcmp(mode, "rename"))
		return rename_and_yield(number);
	fprintf(stderr, "workloads: no mode %s\n", mode);
	return 2;
}
