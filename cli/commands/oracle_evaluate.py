"""``schedtel oracle evaluate``: datasets and a model in; how good its forecasts are beside others, out."""

import json

import click

from schedtel.cli import lines
from schedtel.cli.commands.oracle_train import directories_argument, forecasts_option
from schedtel.cli.output import opened
from schedtel.cli.strict import StrictCommand


@click.command("evaluate", cls=StrictCommand, short_help="Judge a model beside simple rules and other networks.")
@directories_argument
@click.option("--model", "file", required=True, metavar="FILE", help="What `schedtel oracle train` wrote.")
@click.option("-o", "--output", metavar="FILE", help="Also write the evaluation as JSON, for `schedtel oracle report`.")
@click.option(
    "--train",
    is_flag=True,
    help="Also train an LSTM and a GRU to compare with, and all networks without some of the workloads, or without one "
    "of the datasets, in turns; needs torch, and minutes.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="With --train: how often each network goes through its samples.",
)
@forecasts_option
def evaluate(
    directories: tuple[str, ...], file: str, output: str | None, train: bool, epochs: int, forecasts: int
) -> None:
    """Test a model on the test runs of the datasets DIR, each apart, beside rules that learn nothing and Markov chances
    that learn in the run itself. A run that the model learned from is refused.
    """
    from schedtel.oracle.dataset import datasets_at  # noqa: PLC0415  (pyarrow, which other commands do without)
    from schedtel.oracle.evaluation import evaluate as judge  # noqa: PLC0415  (see above)
    from schedtel.oracle.models import load_model  # noqa: PLC0415  (see above)
    from schedtel.oracle.page import text_of  # noqa: PLC0415  (see above)

    model = load_model(file)
    evaluation = judge(datasets_at(directories), model, forecasts, epochs if train else None, lines.remark)
    for line in text_of(evaluation):
        lines.answer(line)
    if output is not None:
        with opened(output) as stream:
            stream.write((json.dumps(evaluation, indent=1, allow_nan=False) + "\n").encode())
