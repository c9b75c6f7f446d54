"""``counterstain doctor``: check that everything works, and name the command that repairs what does not."""

import json
import sys

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to standard output.")
def doctor(as_json: bool) -> None:
    """Check that everything works, and say what fixes it.

    Looks at versions, ONNX Runtime providers, threads, the checksums of the models and the optional parts.

    Exit code 1 when something that is needed does not work.
    """
    from counterstain.cli.inventory import is_broken

    found = _checks()
    if as_json:
        sys.stdout.write(json.dumps({"checks": found}, indent=2, ensure_ascii=True) + "\n")
    else:
        for check in found:
            click.echo(f"{check['status']:<8} {check['name']:<18} {check['found']}")
        for check in found:
            if check["fix"]:
                click.echo(f"to fix {check['name']}: {check['fix']}")
    if is_broken(found):
        raise click.exceptions.Exit(1)


def _checks() -> list[dict[str, str]]:
    """Check everything; providers and models only when every package works, as they need them."""
    from counterstain.cli.inventory import check_machine, check_needed, check_optional, check_providers, is_broken

    needed = check_needed()
    if is_broken(needed):
        return [*check_machine(), *needed, *check_optional()]
    from counterstain.cli.model_list import check_models

    return [*check_machine(), *needed, check_providers(), *check_models(), *check_optional()]
