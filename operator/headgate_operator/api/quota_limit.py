"""A TenantQuota's limits, and the overrides that put another amount in their place for a time."""

from typing import ClassVar, Final, Literal

from headgate_operator.api.fields import Amount, ItemName, OneLine, parse_usd_micros
from headgate_operator.api.model import ApiModel, Rule
from headgate_operator.api.times import Moment, TimeZone

CALENDAR: Final = ("day", "week", "month")


def _more_than_nothing(what: str) -> Rule:
    return Rule(
        "type(self.amount) != string || self.amount.matches('[1-9]')",
        f"amount must be more than 0 US dollars: raise it, or remove the {what}",
        lambda item: not isinstance(item.amount, str) or parse_usd_micros(item.amount) > 0,
    )


class Limit(ApiModel):
    """How much of a resource within a time, or at once."""

    list_map_keys: ClassVar = ("name",)
    cel_rules: ClassVar = (
        Rule(
            "(has(self.resource) && self.resource == 'USD') == (type(self.amount) == string)",
            'amount goes in quotes for resource USD, such as "2.50", and is a whole number without quotes '
            "for every other resource: correct amount, or resource",
            lambda limit: (limit.resource == "USD") == isinstance(limit.amount, str),
        ),
        _more_than_nothing("limit"),
        Rule(
            "(has(self.resource) && self.resource == 'Concurrency') != has(self.window)",
            "window goes with every resource but Concurrency, which counts what is under way at one moment: "
            "set it to 1m, 1h, 1d, day, week or month, or remove it",
            lambda limit: (limit.resource == "Concurrency") != (limit.window is not None),
        ),
        Rule(
            "!has(self.timeZone) || (has(self.window) && self.window in ['day', 'week', 'month'])",
            "timeZone goes with the windows day, week and month alone, which begin at midnight there: set "
            "window to one of them, or remove timeZone",
            lambda limit: limit.time_zone is None or limit.window in CALENDAR,
        ),
    )

    name: ItemName
    """Identifies the limit in status, errors and metrics. What was used is kept under this name."""
    resource: Literal["Requests", "InputTokens", "OutputTokens", "TotalTokens", "USD", "Concurrency"] = (
        "Requests"
    )
    """What is counted. Requests: what is asked of models, however many attempts it
    takes. InputTokens, OutputTokens,
    TotalTokens (both together): tokens as the provider counts them, cached and reasoning ones included. USD:
    what the tokens cost by the price of the provider's model. Concurrency: requests under way at one moment.
    """
    amount: Amount
    """A whole number, for resource USD dollars in quotes, such as `"2.50"`: so much within any `window`, or
    at one moment. The connected gateways share it out, so that together they never admit more.
    """
    window: Literal["1m", "1h", "1d", "day", "week", "month"] | None = None
    """1m, 1h, 1d: any minute, any hour, any 24 hours, rolling. day, week, month: of the calendar, beginning
    at midnight, a week on Monday; then all of the amount is there again. Every resource but Concurrency needs
    it.
    """
    time_zone: TimeZone | None = None
    """Whose midnight: a name of the IANA database, such as `Europe/Berlin`; days are then as long as they are
    there. Without it, UTC.
    """
    scope: Literal["Tenant", "PerUser", "PerKey", "PerModel"] = "Tenant"
    """For whom the amount is. Tenant: for all of the tenant together. PerUser, PerKey, PerModel: for each of
    its users, of its API keys and other subjects, of its models by itself.
    """
    mode: Literal["Enforce", "Shadow"] = "Enforce"
    """Enforce: what does not fit is refused. Shadow: it is counted and told, and nobody is refused, to try
    out an amount.
    """


class Override(ApiModel):
    """Another amount for a limit, until a moment. What was used stays used."""

    list_map_keys: ClassVar = ("limit", "until")
    cel_rules: ClassVar = (_more_than_nothing("override"),)

    limit: ItemName
    """Name of a limit of this quota, also of one in one line: `requests-per-minute`."""
    amount: Amount
    """In place of the limit's own, higher or lower, and written as that is."""
    until: Moment
    """At this moment it ends, on every gateway by its own clock; one that has ended changes nothing. Of
    several for one limit the one that ends first holds.
    """
    reason: OneLine
    """Why, for people."""
