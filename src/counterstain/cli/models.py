"""``counterstain models``: which models there are and what each reads and writes."""

import json
import sys

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to standard output.")
def models(as_json: bool) -> None:
    """List the models that --bundle knows by name."""
    from counterstain.cli.model_list import HEADINGS, describe_models
    from counterstain.cli.showing.console import show_columns

    described = describe_models()
    if as_json:
        sys.stdout.write(json.dumps({"models": described}, indent=2, ensure_ascii=True) + "\n")
        return
    usable = [model for model in described if "error" not in model]
    show_columns([HEADINGS, *([str(value) for value in model.values()] for model in usable)])
    for model in described:
        if "error" in model:
            click.echo(f"{model['name']} cannot be used: {model['error']}", err=True)
