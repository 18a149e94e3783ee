"""Every command and every option, found by introspection, with the arguments that let a value be all that is wrong."""

import click

from schedtel.cli import group

#: A command's arguments. What would run without an end is refused late, so that the value under test is read before.
#: RECORDING, TRACE, NEW, KEPT and SERVED stand for paths and an address of the test.
ARGUMENTS = {
    "live": ["-o", "KEPT", "-c", "/no/such/cgroup"],
    "record": ["-o", "NEW", "-c", "/no/such/cgroup"],
    "show": ["RECORDING"],
    "report": ["RECORDING", "-o", "NEW.html"],
    "compare": ["RECORDING", "RECORDING", "-n", "1"],
    "serve": ["-c", "/no/such/cgroup"],
    "subscribe": ["SERVED", "-n", "1", "--history"],
    "collect": ["SERVED", "-o", "NEW"],
    "export prometheus": ["RECORDING", "--listen", "no.such.host:1"],
    "export otlp": ["RECORDING", "--endpoint", "http://[::1"],
    "import": ["TRACE", "-o", "NEW"],
    "experiment plan": ["TRACE"],
    "experiment run": ["TRACE", "-o", "NEW"],
    "experiment report": ["RECORDING"],
    "experiment pack": ["RECORDING", "-o", "NEW"],
    "trial run": ["TRACE", "-o", "NEW"],
    "trial report": ["RECORDING"],
    "agent init": ["-o", "KEPT"],
    "agent advise": ["RECORDING", "--arm", "scx:no-such"],
    "agent explain": ["RECORDING"],
    "agent report": ["RECORDING", "-o", "NEW.html"],
    "agent train": ["RECORDING", "-o", "NEW"],
    "agent replay": ["RECORDING"],
    "agent evaluate": ["RECORDING", "--policy", "thompson"],
    "agent run": ["--arms", "eevdf,policy:idle", "--for", "pid=4999999"],
    "events record": ["-o", "NEW", "-c", "/no/such/cgroup"],
    "events snapshot": ["RECORDING"],
    "timehist": ["RECORDING"],
    "latency": ["RECORDING"],
    "events export": ["RECORDING", "-o", "NEW"],
    "events windows": ["RECORDING", "-o", "NEW"],
    "oracle pick": ["RECORDING"],
    "features": ["-o", "KEPT", "-c", "/no/such/cgroup"],
    "scheduler list": ["--format", "x"],
    "scheduler current": ["--for", "pid=4999999"],
    "scheduler run": ["policy:idle", "--for", "pid=4999999"],
    "scheduler switch": ["policy:idle", "--for", "pid=4999999"],
    "scheduler restore": ["--format", "x"],
    "scheduler watch": ["--format", "x"],
    "workload list": ["--format", "x"],
    "workload show": ["web"],
    "workload plan": ["web"],
    "workload run": ["no-such-preset"],
    "sim list": ["--format", "x"],
    "sim run": ["no-such-preset"],
    "dag list": ["--format", "x"],
    "dag solve": ["wait", "--method", "heft"],
    "dag search": ["no-such-graph", "-o", "NEW"],
    "dag periodic": ["--periods", "875,350,875,350"],
    **{f"models {name}": ["--registry", "NEW"] for name in ("list", "verify")},
    **{f"models {name}": ["no-such", "--registry", "NEW"] for name in ("show", "split", "rollback")},
    "models pick": ["wait", "--registry", "NEW"],
    "models update": ["x", "TRACE", "--registry", "NEW"],
    "models merge": ["x", "a", "b", "--registry", "NEW"],
    "train list": ["--format", "x"],
    **{f"train {name}": ["-o", "NEW", "--steps", "0"] for name in ("MigrateSim", "DagSim", "PeriodicSim")},
    "train report": ["/no/such"],
    "train judge": ["/no/such"],
    "train export": ["/no/such", "-o", "NEW"],
    "target serve": [],
    "oracle dataset": ["-o", "NEW", "--from", "x=TRACE"],
    "oracle train": ["RECORDING", "-o", "NEW"],
    "oracle evaluate": ["RECORDING", "--model", "TRACE"],
    "oracle report": ["RECORDING", "-o", "NEW.html"],
    "lab doctor": [],
    "lab run": [],
    "lab shell": [],
    "lab validate": ["--report", "NEW"],
    "doctor": ["--seconds", "0"],
    "schema": ["--format", "x"],
}
#: Where the arguments above would refuse a command before it reads the option: its own.
INSTEAD = {
    ("serve", "--listen"): ["--from", "RECORDING"],
    ("serve", "--from"): ["--listen", "grpc+unix:///no/such/folder/socket"],
    ("serve", "arguments"): ["--from", "RECORDING"],
    ("live", "--cgroup"): ["-o", "KEPT", "-p", "4999999"],
    ("serve", "--cgroup"): ["-p", "4999999"],
    ("features", "source"): [],
    ("features", "--cgroup"): ["-o", "KEPT", "-p", "4999999"],
    **{("features", option): ["RECORDING", "-n", "1"] for option in ("--count", "--duration", "--view", "--output")},
    **{("features", f"--{option}"): ["SERVED", "-n", "1"] for option in ("token-file", "ca", "tls-cert", "tls-key")},
    ("record", "--cgroup"): ["-o", "NEW", "-p", "4999999"],
    ("events record", "--cgroup"): ["-o", "NEW", "-p", "4999999"],
    ("events record", "arguments"): ["-o", "NEW", "-p", "4999999"],
    ("events record", "--trigger"): ["-o", "NEW", "-c", "/no/such/cgroup", "--ring", "5s"],
    ("events record", "--ring-memory"): ["-o", "NEW", "-c", "/no/such/cgroup", "--ring", "5s"],
    ("events record", "--window"): [
        *["-o", "NEW", "-c", "/no/such/cgroup"],
        *["--ring", "876000h", "--trigger", "tasks_active > 1"],
    ],
    **{
        ("experiment run", f"--{option}"): ["TRACE", "-o", "NEW", "--target", "grpc://127.0.0.1:1"]
        for option in ("token-file", "ca", "tls-cert", "tls-key")
    },
    **{
        (f"agent {name}", f"--{option}"): [*words, "--target", "grpc://127.0.0.1:1"]
        for name, words in (("run", ["--arms", "eevdf,policy:comm=x:idle"]), ("init", ["-o", "NEW"]))
        for option in ("token-file", "ca", "tls-cert", "tls-key")
    },
    ("agent init", "--target"): ["-o", "NEW"],
    ("agent run", "--arms"): ["--for", "pid=4999999"],
    ("agent run", "--for"): ["--arms", "eevdf,policy:idle", "--probe-every", "0"],
    ("scheduler run", "arm"): ["--for", "pid=4999999"],
    ("scheduler run", "--for"): ["policy:idle"],
    ("scheduler switch", "arm"): ["--for", "pid=4999999"],
    ("scheduler switch", "--for"): ["policy:idle"],
    **{
        (f"models {name}", parameter): ["--registry", "NEW"]
        for name, parameter in (("show", "model"), ("split", "name"), ("rollback", "name"), ("pick", "spec"))
    },
    ("dag solve", "spec"): ["--method", "heft"],
    ("dag search", "specs"): ["-o", "NEW"],
    ("train DagSim", "--graph"): ["-o", "NEW", "--noise", "2"],
    ("oracle dataset", "--workload"): ["-o", "NEW"],
    ("lab run", "arguments"): ["--kernel", "0"],
    ("lab validate", "spec"): ["-o", "NEW"],
    ("lab validate", "--output"): ["TRACE"],
    ("lab validate", "--kernel"): ["-o", "NEW", "TRACE"],
    ("lab validate", "--cpus"): ["-o", "NEW", "TRACE"],
    ("lab validate", "--only"): ["-o", "NEW", "TRACE"],
    ("live", "arguments"): ["-p", "4999999"],
    ("record", "arguments"): ["-o", "NEW", "-p", "4999999"],
}


def commands():
    """Name → command, for each command that does something."""
    return dict(_leaves(group, ""))


def _leaves(parent, prefix):
    context = click.Context(parent)
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def parameters():
    """A pair of a command's name and a parameter, for each parameter that has a value."""
    return [
        (name, parameter)
        for name, command in commands().items()
        for parameter in command.params
        if not getattr(parameter, "is_flag", False)
    ]


def name_of(parameter):
    return max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.name


def line(name, parameter, value, places):
    """The words of a command line in which the parameter has the value."""
    option = name_of(parameter)
    base = INSTEAD.get((name, option), ARGUMENTS[name])
    words = [*name.split(), *(places.get(word, word) for word in _without(base, parameter))]
    if isinstance(parameter, click.Option):
        return [*words[: len(name.split())], f"{option}={value}", *words[len(name.split()) :]]
    return [*words, "--", value]


def _without(words, parameter):
    """The words without the parameter, whose value is under test."""
    if not isinstance(parameter, click.Option):
        return [word for word in words if word not in ("RECORDING", "SERVED", "TRACE")] if parameter.required else words
    kept = list(words)
    for option in parameter.opts:
        if option in kept:
            at = kept.index(option)
            del kept[at : at + 2]
    return kept
