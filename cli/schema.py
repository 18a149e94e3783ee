"""``schedtel schema``: what every column means."""

import json

import click

from schedtel import schema


@click.command("schema", short_help="Print what every column means.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["json", "markdown"]),
    default="json",
    show_default=True,
    help="JSON Schema of a line of NDJSON, or the tables as Markdown.",
)
def command(kind: str) -> None:
    """Print the columns of the tables: the JSON Schema of --format ndjson, or Markdown for people."""
    click.echo(json.dumps(schema.ndjson_schema(), indent=2) if kind == "json" else schema.markdown().rstrip("\n"))
