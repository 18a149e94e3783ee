"""``schedtel schema``: prints the definition of every column, metric and feature."""

import json
from collections.abc import Callable

import click

from schedtel import features
from schedtel.cli import lines
from schedtel.cli.strict import StrictCommand
from schedtel.export import definitions
from schedtel.windows import schema


@click.command("schema", cls=StrictCommand, short_help="Print what every column means.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["json", "markdown", "metrics", "features"]),
    default="json",
    show_default=True,
    help="JSON Schema of a line of NDJSON; the tables, the exported metrics, or the features, as Markdown.",
)
def command(kind: str) -> None:
    """Print the columns of the tables: the JSON Schema of --format ndjson, or Markdown for people."""
    lines.document(_WRITERS[kind]().rstrip("\n"))


_WRITERS: dict[str, Callable[[], str]] = {
    "json": lambda: json.dumps(schema.ndjson_schema(), indent=2),
    "markdown": schema.markdown,
    "metrics": definitions.markdown,
    "features": features.markdown,
}
