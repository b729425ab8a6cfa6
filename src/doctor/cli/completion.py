"""``doctor completion``: let the shell complete commands."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete `doctor` commands.

    \b
    Put it where the shell looks, then open a new one:
      doctor completion bash > ~/.local/share/bash-completion/completions/doctor
      doctor completion fish > ~/.config/fish/completions/doctor.fish
      doctor completion zsh > ~/.zfunc/_doctor

    \b
    zsh looks there if ~/.zshrc has:
      fpath+=~/.zfunc; autoload -U compinit; compinit

    \b
    Or only for now:
      eval "$(doctor completion bash)"
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(script(ctx.find_root().command, {}, "doctor", "_DOCTOR_COMPLETE").source())
