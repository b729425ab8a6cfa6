"""`doctor serve`: run a Doctor."""

import gc
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings (YAML). Without it: all as it ships.",
)
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen, instead of what the settings say.")
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="Where state is kept, likewise."
)
@click.option("--check", is_flag=True, help="Only say whether the settings are right.")
def serve(config: Path | None, listen: str | None, data: Path | None, *, check: bool) -> None:
    """Run a Doctor in the foreground until it is told to stop.

    \b
    Examples:
      doctor serve
      doctor serve --config /etc/doctor/doctor.yaml
      doctor serve --data /tmp/doctor --listen 127.0.0.1:12346
    """
    gc.disable()  # until all is there: what is made at the start stays
    from doctor.app.logs import configure_logs
    from doctor.app.service import run
    from doctor.app.settings import load_settings
    from doctor.app.wiring import wire
    from doctor.model.errors import PermanentError, RejectedError, TransientError

    try:
        settings = load_settings(config)
        overrides = {"listen": listen, "data": data and data.resolve()}
        settings = settings.with_overrides(
            **{key: value for key, value in overrides.items() if value is not None}
        )
        if check:
            wire(settings)
            click.echo("the settings are right")
            return
        configure_logs(settings.log)
        run(settings)
    except RejectedError as error:
        click.echo(f"doctor: {error.detail}", err=True)
        for flaw in error.flaws:
            click.echo(f"  {flaw.pointer}: {flaw.detail}", err=True)
        sys.exit(2)
    except (PermanentError, TransientError) as error:
        click.echo(f"doctor: {error}", err=True)
        sys.exit(1)
