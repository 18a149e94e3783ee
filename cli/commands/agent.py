"""``schedtel agent``: its commands; ``evaluate``: a log of decisions in; what other policies would have earned out."""

import json
from dataclasses import asdict
from typing import Any

import click

from schedtel.agent.evaluation import Evaluation, Evaluator, Judged, evaluate, text_of
from schedtel.agent.log import read_log
from schedtel.agent.policies.files import load_policy
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.registry import POLICIES, policy_of
from schedtel.cli import lines
from schedtel.cli.commands.agent_advise import advise
from schedtel.cli.commands.agent_explain import explain
from schedtel.cli.commands.agent_init import init
from schedtel.cli.commands.agent_rehearse import rehearse
from schedtel.cli.commands.agent_replay import replay
from schedtel.cli.commands.agent_report import report
from schedtel.cli.commands.agent_run import run
from schedtel.cli.commands.agent_train import train
from schedtel.cli.strict import StrictGroup


@click.group("agent", cls=StrictGroup, short_help="Choose the scheduler by live metrics.")
def command() -> None:
    """Choose schedulers by what is seen of windows, and judge policies that do so."""


command.add_command(init)
command.add_command(run)
command.add_command(advise)
command.add_command(explain)
command.add_command(rehearse)
command.add_command(replay)
command.add_command(report)
command.add_command(train)


@command.command("evaluate", short_help="Say what another policy would have earned.")
@click.argument("log", metavar="LOG")
@click.option(
    "--policy", required=True, metavar="NAME|FILE", help=f"A file of a policy, or one of {', '.join(POLICIES)}."
)
@click.option("--learn", is_flag=True, help="Let the policy learn from each decision after it was judged there.")
@click.option("--busy-arm", metavar="NAME", help="What scx_loader's rule takes with a busy CPU.  [default: last arm]")
@click.option(
    "--format", "kind", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Lines, or JSON."
)
def evaluate_(log: str, policy: str, learn: bool, busy_arm: str | None, kind: str) -> None:
    """Say what another policy would have earned in the decisions of LOG, a directory that an agent has written.

    Beside it are the decisions as they were, each arm by itself, random choice, and the rule of scx_loader. A policy
    that is named knows nothing at first: let it --learn.
    """
    evaluation = evaluate(read_log(log), _maker(policy), policy, learn=learn, busy_arm=busy_arm)
    if kind == "json":
        lines.document(json.dumps(_table(evaluation), indent=1, allow_nan=False))
        return
    for line in text_of(evaluation).splitlines():
        lines.answer(line)


def _maker(policy: str) -> Any:
    def make(log: Evaluator) -> Policy:
        names = log.entries[0].context.features.names
        return policy_of(policy, log.arms, names) if policy in POLICIES else load_policy(policy, log.arms, names)

    return make


def _table(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "decisions": evaluation.rows,
        "guarded": evaluation.guarded,
        "unrewarded": evaluation.unrewarded,
        "policies": [_row(judged) for judged in evaluation.judged],
    }


def _row(judged: Judged) -> dict[str, Any]:
    return {"policy": judged.name, "trusted": judged.trusted, **asdict(judged.estimates)}
