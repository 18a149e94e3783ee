"""``schedtel oracle train``: datasets in; a model that has learned from their training runs out."""

import os

import click

from schedtel.cli import lines
from schedtel.cli.strict import StrictCommand
from schedtel.errors import UsageError

forecasts_option = click.option(
    "--forecasts",
    type=click.IntRange(10, 1_000_000),
    default=2000,
    show_default=True,
    help="The most forecasts of a run that count, the first ones.",
)

directories_argument = click.argument("directories", metavar="DIR...", nargs=-1, required=True)


@click.command("train", cls=StrictCommand, short_help="Train a model on datasets.")
@directories_argument
@click.option("-o", "--output", required=True, metavar="FILE", help="The model to write, as safetensors.")
@click.option("--seeds", type=click.IntRange(1, 100), default=5, show_default=True, help="Networks to train.")
@click.option(
    "--epochs",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="How often each goes through the samples.",
)
@forecasts_option
def train(directories: tuple[str, ...], output: str, seeds: int, epochs: int, forecasts: int) -> None:
    """Train pointer networks on the training runs of the datasets DIR: one for each seed, all in FILE."""
    from schedtel.oracle.dataset import datasets_at  # noqa: PLC0415  (pyarrow, which other commands do without)
    from schedtel.oracle.evaluation import samples_of_dataset  # noqa: PLC0415  (see above)
    from schedtel.oracle.models import Model, save_model  # noqa: PLC0415  (see above)
    from schedtel.oracle.networks import torch_here, trained_pointer  # noqa: PLC0415  (see above)

    if os.path.isdir(output):
        raise UsageError(f"cannot write {output}: it is a directory (name a file)")
    facts = {"torch": str(torch_here().__version__), "epochs": str(epochs)}
    learned = [(each, [entry for entry in each.entries if entry.is_for_training]) for each in datasets_at(directories)]
    samples = [one for dataset, own in learned for one in samples_of_dataset(dataset, own, forecasts)]
    networks = {seed: trained_pointer(samples, seed, epochs) for seed in range(seeds)}
    entries = [entry for _, own in learned for entry in own]
    workloads = tuple(dict.fromkeys(entry.workload for entry in entries))
    save_model(Model(networks, tuple(entry.digest for entry in entries), workloads, facts), output)
    lines.remark(
        f"wrote {output}: {seeds} networks of {networks[0].parameters} parameters, trained on {sum(map(len, samples))} "
        f"forecasts of {len(entries)} runs, {os.path.getsize(output) / 1e6:.2f} MB"
    )
