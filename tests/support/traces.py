"""Scheduler events as perf and ftrace print them."""

from model import FIRST_TID, TASK_DEAD, Arrive, Event, Exit, Fork, Switch, Wake

PERF, FTRACE, PLUGIN = "perf", "ftrace", "plugin"
STYLES = (PERF, FTRACE, PLUGIN)


def line(style: str, now: int, cpu: int, event: str, says: str, comm: str = "a b", tid: int | str = 0) -> str:
    """The line of an event that happened while a task was on a CPU; unless the test names one, the idle task."""
    time = f"{now // 10**9}.{now % 10**9:09d}"
    if style == PERF:
        return f"{comm:>16} {tid:5} [{cpu:03}] {time}: {'sched:' + event:>24}: {says}"
    if style == FTRACE:
        return f"{comm:>16}-{tid:<7} [{cpu:03}] d..2. {time}: {event}: {says}"
    return f"{comm:>16}-{tid:<5} [{cpu:03}] {time}: {event + ':':21} {says}"


def switch(style, now, cpu, prev, following, state="S", prio=120, next_prio=120) -> str:
    """``prev`` and ``following`` are (comm, tid)."""
    if style == PLUGIN:
        says = f"{prev[0]}:{prev[1]} [{prio}] {state} ==> {following[0]}:{following[1]} [{next_prio}]"
    else:
        says = (
            f"prev_comm={prev[0]} prev_pid={prev[1]} prev_prio={prio} prev_state={state} ==> "
            f"next_comm={following[0]} next_pid={following[1]} next_prio={next_prio}"
        )
    return line(style, now, cpu, "sched_switch", says, *prev)


def woken(style, now, cpu, task, event="sched_wakeup", prio=120, on=("a b", 0)) -> str:
    """``on`` is the task on the CPU, (comm, tid)."""
    comm, tid = task
    says = f"comm={comm} pid={tid} prio={prio} target_cpu={cpu:03}"
    return line(style, now, cpu, event, f"{comm}:{tid} [{prio}] CPU:{cpu:03}" if style == PLUGIN else says, *on)


def forked(style, now, cpu, parent, child) -> str:
    says = f"comm={parent[0]} pid={parent[1]} child_comm={child[0]} child_pid={child[1]}"
    return line(style, now, cpu, "sched_process_fork", says, *parent)


def exited(style, now, cpu, task) -> str:
    return line(style, now, cpu, "sched_process_exit", f"comm={task[0]} pid={task[1]} prio=120 group_dead=true", *task)


def who(task: int | None, cpu: int = 0) -> tuple[str, int]:
    """Comm and tid of a task of a history; the names have characters that mislead parsers."""
    return (f"swapper/{cpu}", 0) if task is None else (f"a-{task} [x]=:", FIRST_TID + task)


def text_of(style: str, event: Event) -> str:
    """The line of an event of a history; empty for an event that no tracer prints."""
    match event:
        case Fork(now, task):
            return forked(style, now, 0, ("parent", 7), who(task))
        case Arrive(now, task):
            return woken(style, now, 0, who(task), "sched_wakeup_new")
        case Wake(now, task):
            return woken(style, now, 0, who(task))
        case Exit(now, task, cpu):
            return exited(style, now, cpu, who(task))
        case Switch(now, cpu, prev, following):
            return switch(style, now, cpu, who(prev, cpu), who(following, cpu), _letters(style, event))
    return ""


def _letters(style: str, event: Switch) -> str:
    if event.preempt:
        return "R" if style == PLUGIN else "R+"  # libtraceevent's plugin prints no +
    if event.prev_state == TASK_DEAD:
        return "X"
    return "S" if event.prev_state else "R"
