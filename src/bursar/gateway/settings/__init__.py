"""`bursar.yaml`: read, checked, compiled into a `Desk`, watched for changes, explained.

`structs` says what may stand in the file; `reading` and `checking` take it in; `keys`, `tagging`
and `routing` are the three questions that a `Desk` answers for each call. No socket is opened here.
"""

from bursar.gateway.settings.desk import Desk, DeskOptions, open_desk
from bursar.gateway.settings.fitting import bounds_of, journal_rules_of, store_url_of, tls_of
from bursar.gateway.settings.holders import Holder
from bursar.gateway.settings.reading import dump_settings, load_settings
from bursar.gateway.settings.routing import Plan, Provider, RouteRule
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.tagging import Tagged
from bursar.gateway.settings.values import Secret
from bursar.gateway.settings.watched import Watched

__all__ = [
    "Desk",
    "DeskOptions",
    "Holder",
    "Plan",
    "Provider",
    "RouteRule",
    "Secret",
    "Settings",
    "Tagged",
    "Watched",
    "bounds_of",
    "dump_settings",
    "journal_rules_of",
    "load_settings",
    "open_desk",
    "store_url_of",
    "tls_of",
]
