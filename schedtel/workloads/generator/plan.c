// SPDX-License-Identifier: Apache-2.0
/*
 * The plan on stdin in; the mapping that all tasks share out. The plan is lines of text, which end with "end", and then
 * the jobs and the order of releases as they lie in memory. Only generator.py writes it, and what is not as it should be
 * is of another version.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "generator.h"

struct shared *shared;
struct job *plan;
struct record *records;
s32 *release_order;
struct change *changes;

/* Say what failed, as the one line of the answer. Returns the status to exit with. */
int refuse(const char *what, int error)
{
	const char *character;

	printf("{\"error\":\"");
	for (character = what; *character; character++)
		putchar(*character < ' ' || *character == '"' || *character == '\\' ? '?' : *character);
	printf("%s%s\"}\n", error ? ": " : "", error ? strerror(error) : "");
	fflush(stdout);
	return 1;
}

static void need(bool is_so)
{
	if (!is_so)
		exit(refuse("the plan is of another version (run `make build`)", 0));
}

static void *mapped(size_t bytes)
{
	void *found = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (found == MAP_FAILED)
		exit(refuse("cannot map the plan", errno));
	return found;
}

static void read_cpus(struct treatment *treatment, char *list)
{
	char *number;

	treatment->pinned = list[0] != '-';
	if (!treatment->pinned)
		return;
	for (number = strtok(list, ","); number; number = strtok(NULL, ","))
		CPU_SET(atoi(number), &treatment->cpus);
}

static void prepare_shared(struct class *class)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&class->lock, &attributes);
	sem_init(&class->released, 1, 0);
	class->active = class->workers;
}

/* class NAME open threads life workers first jobs kind count first second policy nice priority runtime deadline period
 * cpus directory
 */
static void read_class(const char *line, struct class *class)
{
	int open, threads, life, kind, at = 0;
	struct treatment *treatment = &class->treatment;
	static char cpus[1 << 16];
	int found = sscanf(line, "class %15s %d %d %d %d %lu %lu %d %ld %ld %ld %u %d %u %ld %ld %ld %65535s %n", class->name,
			   &open, &threads, &life, &class->workers, &class->first, &class->jobs, &kind, &class->count,
			   &class->first_number, &class->second_number, &treatment->policy, &treatment->nice,
			   &treatment->priority, &treatment->runtime_ns, &treatment->deadline_ns, &treatment->period_ns, cpus,
			   &at);

	need(found == 18 && at && strlen(line + at) < sizeof(class->directory));
	strcpy(class->directory, line + at);
	class->open = open;
	class->threads = threads;
	class->life = life;
	class->kind = kind;
	read_cpus(treatment, cpus);
	prepare_shared(class);
}

static void read_numbers(const char *line)
{
	need(sscanf(line, "run %ld %ld %lf %u %u %lu %u", &shared->duration_ns, &shared->drain_ns, &shared->loops_per_us,
		    &shared->classes, &shared->changes, &shared->jobs, &shared->order) == 7);
	need(shared->classes <= MOST_CLASSES && shared->loops_per_us > 0);
	plan = mapped(shared->jobs * sizeof(*plan));
	records = mapped(shared->jobs * sizeof(*records));
	release_order = mapped(shared->order * sizeof(*release_order));
	changes = mapped(shared->changes * sizeof(*changes));
}

static void read_arrays(void)
{
	need(fread(plan, sizeof(*plan), shared->jobs, stdin) == shared->jobs);
	need(fread(release_order, sizeof(*release_order), shared->order, stdin) == shared->order);
}

void read_plan(void)
{
	static char line[(1 << 16) + PATH_BYTES + 1024];
	u32 class = 0, change = 0;

	shared = mapped(sizeof(*shared));
	need(fgets(line, sizeof(line), stdin) && !strcmp(line, "schedtel-workload 1\n"));
	for (;;) {
		need(fgets(line, sizeof(line), stdin));
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "run ", 4)) {
			read_numbers(line);
		} else if (!strncmp(line, "class ", 6)) {
			need(class < shared->classes);
			read_class(line, &shared->class[class++]);
		} else if (!strncmp(line, "active ", 7)) {
			struct change *next = &changes[change];

			need(change++ < shared->changes);
			need(sscanf(line, "active %u %u %ld", &next->class, &next->active, &next->at_ns) == 3);
		} else {
			break;
		}
	}
	need(!strcmp(line, "end") && class == shared->classes && change == shared->changes);
	read_arrays();
}
