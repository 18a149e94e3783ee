"""``schedtel agent rehearse``: simulated windows in; a policy that has learned from them, and its cost there, out."""

from pathlib import Path

import click

from schedtel.agent.policies.files import load_policy, save_policy
from schedtel.agent.settings import arms_of
from schedtel.cli import lines
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError
from schedtel.simulator.machine import MOST_CPUS
from schedtel.training.fitting import TRAINABLE


@click.command("rehearse", cls=StrictCommand, short_help="Train a policy in a simulation.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The policy to write.")
@click.option(
    "--policy",
    type=click.Choice(TRAINABLE),
    default="policy-gradient",
    show_default=True,
    help="What kind of policy it is.",
)
@click.option("--arms", metavar="ARM,...", help="What it chooses among, besides eevdf.  [default: those of SwapSim]")
@click.option("--cpus", type=click.IntRange(1, MOST_CPUS), default=2, show_default=True, help="CPUs of the machine.")
@click.option(
    "--windows", type=click.IntRange(100, 1_000_000), default=2000, show_default=True, help="How many it learns from."
)
@click.option(
    "--episodes", type=click.IntRange(0, 1000), default=8, show_default=True, help="How many it is judged by; 0: none."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of all that is drawn.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def rehearse(
    output: str, policy: str, arms: str | None, cpus: int, windows: int, episodes: int, seed: int, quiet: bool
) -> None:
    """Train a policy in SwapSim, where every arm can be tried on the same window, and say what it costs there.

    The file is one for `schedtel agent run --policy`. It is judged in episodes that it has not learned from, beside
    each arm by itself, an oracle, and policies that begin with nothing. Needs `schedtel[learn]`.
    """
    if Path(output).is_dir() or not Path(output).parent.is_dir():
        raise UsageError(f"cannot write {output}: it is a directory, or is to be in none (name a file)")
    from schedtel.training.rehearsal import Rehearsal, simulated_with, text_of  # noqa: PLC0415  (numba)

    asked = Rehearsal(
        policy, windows=windows, episodes=episodes, seed=seed, simulated=simulated_with(cpus, arms and arms_of(arms))
    )
    tell = (lambda _: None) if quiet else lines.remark
    save_policy(asked.learn(tell), output)
    if episodes:
        for line in text_of(asked.judge(lambda: load_policy(output), tell)):
            lines.answer(line)
