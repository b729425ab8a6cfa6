"""``doctor subscription``: who is told of what, and where."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from doctor.cli.alarm import SEVERITIES
from doctor.cli.connection import MISUSED, Failed, connected
from doctor.cli.output import clean, json_option, print_columns, print_items, print_json, print_one, remark

EVENTS = ("fault", "maintenance", "capacity", "vim")
UNNAMED = {"fault", "maintenance", "capacity"}  # what is told to those who name no kind
FORMATS = ("doctor", "cloudevents", "aodh", "fenix", "fenix-aodh")

id_argument = click.argument("subscription_id", metavar="ID")


@click.group()
def subscription() -> None:
    """Who is told of what, and where."""


@subscription.command()
@click.option(
    "--endpoint", "endpoints", metavar="URL", multiple=True, help="Where to tell; each is told on its own."
)
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Sign what is told with the secret in this file (whsec_ and base64).",
)
@click.option("--resource", "virtual_resource_id", metavar="ID", multiple=True, help="Only of this resource.")
@click.option(
    "--type", "virtual_resource_type", metavar="TYPE", multiple=True, help="Only of this resource type."
)
@click.option("--fault-type", metavar="TYPE", multiple=True, help="Only of this fault type.")
@click.option("--cause", "probable_cause", metavar="TEXT", multiple=True, help="Only of this probable cause.")
@click.option("--min-severity", type=click.Choice(SEVERITIES), help="Only at least as bad.")
@click.option(
    "--event", type=click.Choice(EVENTS), multiple=True, help="Only of this kind; vim only if named."
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="How what is told is written.")
@click.option("--group", metavar="NAME", help="Of this redundancy group only when too many of it are out.")
@click.option("--role", metavar="ROLE", help="With --group: count only this role, such as STBY.")
@click.option(
    "--more-than", type=click.IntRange(0), metavar="N", help="With --group: so many may be out (2)."
)
@click.option(
    "--within", metavar="DURATION", help="With --group: count failures that began within it (PT5M)."
)
@click.option("--when-isolated", is_flag=True, help="Tell of a dead host when it can do no more harm.")
@click.option("--acknowledge", is_flag=True, help="Tell again until it is acknowledged.")
@click.option("--heartbeat", metavar="DURATION", help="Say so after this much silence (PT1S to PT1H).")
@click.option(
    "--detection", metavar="DURATION", help="Look at the hosts of your machines so often (PT0.05S)."
)
@json_option
def create(
    endpoints: tuple[str, ...],
    secret_file: Path | None,
    min_severity: str | None,
    form: str | None,
    group: str | None,
    role: str | None,
    more_than: int | None,
    within: str | None,
    when_isolated: bool,
    acknowledge: bool,
    heartbeat: str | None,
    detection: str | None,
    as_json: bool,
    **lists: Any,
) -> None:
    """Subscribe to what happens to your resources.

    Without a filter you are told of all that is yours; a filter that is given several times takes any of them. Without
    an endpoint nothing is sent, and `doctor notification list` and `watch` fetch what happened. Prints the
    subscription's id.

    \b
    Examples:
      doctor subscription create --endpoint https://vnfm.example/doctor \\
             --secret-file secret
      doctor subscription create --endpoint http://127.0.0.1:8080/ \\
             --resource vm-1-1 --resource vm-1-2 --min-severity major
      doctor subscription create --endpoint http://127.0.0.1:8080/ \\
             --group web --role STBY --more-than 2 --heartbeat PT10S
      (echo -n whsec_; openssl rand -base64 32) > secret      # makes a secret
    """
    secret = _secret(secret_file)
    if secret is not None and not endpoints:
        raise click.UsageError("--secret-file signs what goes to an --endpoint, and there is none")
    subscribe_filter: dict[str, Any] = {name: list(values) for name, values in lists.items() if values}
    if min_severity is not None:
        subscribe_filter["min_severity"] = min_severity
    counted = {"role": role, "more_than": more_than, "within": within}
    if group is None and any(value is not None for value in counted.values()):
        raise click.UsageError(
            "--role, --more-than and --within say how to count a --group, and there is none"
        )
    aggregate = None if group is None else {"group": group, **_given(**counted)}
    policy = _given(
        aggregate=aggregate,
        when="isolated" if when_isolated else None,
        acknowledge="explicit" if acknowledge else None,
        heartbeat=heartbeat,
        detection=detection,
    )
    wanted = [{"url": url, **_given(secret=secret, format=form)} for url in endpoints]
    wish = {"subscribe_filter": subscribe_filter, "endpoints": wanted, **_given(policy=policy or None)}
    with connected() as doctor:
        made = doctor.post("/v1/subscriptions", wish)
    for warning in made.get("warnings", ()):
        remark(f"warning: {_warning(warning)}")
    if as_json:
        print_json(made)
        return
    click.echo(made["subscription_id"])
    broken = [
        one for one in made.get("virtual_resource_info", ()) if one.get("virtual_resource_state") != "normal"
    ]
    for one in broken:
        remark(f"now: {clean(one.get('virtual_resource_id'))} is {clean(one.get('virtual_resource_state'))}")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _secret(file: Path | None) -> str | None:
    if file is None:
        return None
    secret = file.read_text(errors="replace").strip()
    if not secret.startswith("whsec_") or len(secret.split()) != 1:
        raise Failed(f"{file} holds no secret: it is written whsec_ and base64", MISUSED)
    return secret


def _warning(warning: Any) -> str:
    if isinstance(warning, dict):
        return ": ".join(clean(warning[name]) for name in ("url", "pointer", "detail") if warning.get(name))
    return clean(warning)


@subscription.command("list")
@json_option
def list_subscriptions(as_json: bool) -> None:
    """List subscriptions: yours, or all for the Administrator.

    \b
    Example:
      doctor subscription list
    """
    with connected() as doctor:
        found = list(doctor.items("/v1/subscriptions"))
    print_items(
        found,
        as_json,
        none="no subscriptions",
        columns=(
            "subscription_id",
            "project",
            ("endpoints", lambda one: [endpoint.get("url") for endpoint in one.get("endpoints", ())]),
            ("filter", lambda one: _filter(one.get("subscribe_filter") or {})),
        ),
        keep=("subscription_id",),
        spare=("filter",),
    )


def _filter(subscribe_filter: dict[str, Any]) -> str:
    """Write a filter in short: only what restricts."""
    parts = []
    for name, value in subscribe_filter.items():
        if value and value != "cleared" and not (name == "event" and set(value) in (UNNAMED, set(EVENTS))):
            parts.append(f"{name.removeprefix('virtual_')}={clean(value)}")
    return "; ".join(parts) or "all"


@subscription.command()
@id_argument
@json_option
def show(subscription_id: str, as_json: bool) -> None:
    """Show one subscription. Secrets are never shown.

    \b
    Example:
      doctor subscription show 0190a1b2-...
    """
    with connected() as doctor:
        found = doctor.get(f"/v1/subscriptions/{quote(subscription_id, safe='')}")
    print_one(found, as_json)


@subscription.command()
@id_argument
@json_option
def delete(subscription_id: str, as_json: bool) -> None:
    """End a subscription: nothing more is told, not even what was waiting.

    \b
    Example:
      doctor subscription delete 0190a1b2-...
    """
    with connected() as doctor:
        doctor.delete(f"/v1/subscriptions/{quote(subscription_id, safe='')}")
    if as_json:
        print_json({"subscription_id": subscription_id, "deleted": True})
    else:
        remark(f"deleted {subscription_id}")


@subscription.command()
@id_argument
@json_option
def test(subscription_id: str, as_json: bool) -> None:
    """Try whether the endpoints of a subscription answer.

    Each is asked with an empty GET, which uses no sequence. Ends with 1 if one does not answer.

    \b
    Example:
      doctor subscription test 0190a1b2-...
    """
    with connected(timeout=60) as doctor:
        results = doctor.post(f"/v1/subscriptions/{quote(subscription_id, safe='')}/test")["results"]
    if as_json:
        print_json({"results": results})
    elif not results:
        remark("there are no endpoints to test: this subscription is fetched")
    else:
        print_columns(
            results,
            (("result", lambda one: "ok" if one["ok"] else "failed"), "url", "detail"),
            keep=("result",),
        )
    if not all(one["ok"] for one in results):
        click.get_current_context().exit(1)


@subscription.command()
@id_argument
@json_option
def parked(subscription_id: str, as_json: bool) -> None:
    """List what an endpoint did not take, and was given up.

    \b
    Example:
      doctor subscription parked 0190a1b2-...
    """
    with connected() as doctor:
        found = list(doctor.items(f"/v1/subscriptions/{quote(subscription_id, safe='')}/parked"))
    print_items(
        found,
        as_json,
        none="nothing is parked",
        columns=("sequence", ("url", lambda one: one.get("url") or one["endpoint_id"]), "attempts", "error"),
        keep=("sequence",),
    )


@subscription.command()
@id_argument
@click.option("--from", "first", type=click.IntRange(1), required=True, help="The first sequence.")
@click.option("--to", "last", type=click.IntRange(1), help="The last sequence; default: the first.")
@click.option("--all", "everything", is_flag=True, help="Also what was delivered, not only what is parked.")
@click.option("--endpoint", "endpoint_id", metavar="ENDPOINT_ID", help="To this endpoint only.")
@json_option
def replay(
    subscription_id: str,
    first: int,
    last: int | None,
    everything: bool,
    endpoint_id: str | None,
    as_json: bool,
) -> None:
    """Send notifications once more: the same bytes under the same ids, marked by the header doctor-replay.

    \b
    Examples:
      doctor subscription replay 0190a1b2-... --from 17
      doctor subscription replay 0190a1b2-... --from 1 --to 100 --all
    """
    wish = {"from": first, "to": first if last is None else last, "parked_only": not everything}
    with connected() as doctor:
        answer = doctor.post(
            f"/v1/subscriptions/{quote(subscription_id, safe='')}/replay",
            {**wish, **_given(endpoint_id=endpoint_id)},
        )
    if as_json:
        print_json(answer)
    else:
        remark(f"deliveries to be made: {answer['deliveries']}")
