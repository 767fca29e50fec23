"""The rules of billing as data: rules/*.toml, read once and looked up by provider and model.

A file belongs to one provider; of its rules, the first whose pattern fits the model holds. A file
that does not hold together is refused as a whole (BadPrices: file, place, mend). A provider or a
model without a rule has none: nothing is guessed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from bursar.model.errors import BadPrices
from bursar.price.billing import Rule, Way

OWN_RULES = Path(__file__).parent / "rules"
STANDARD = "standard"
LARGEST_CACHE = 20_000
"""Models looked up that are kept; names that somebody makes up start it anew."""


class RuleText(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[rule]]` as written."""

    match: tuple[str, ...]
    """Globs over the lower-case model id."""


class RulesText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole file as written."""

    provider: str
    """As genai-prices names it."""
    classes: dict[str, str] = {}
    """What a request may ask for -> the price class that is billed."""
    rule: tuple[RuleText, ...] = ()


class Rules:
    """Which rule holds for a model, and which price class a request may get."""

    def __init__(self, files: Sequence[RulesText]) -> None:
        self._files: dict[str, list[RulesText]] = {}
        for file in files:
            self._files.setdefault(file.provider, []).append(file)
        self._found: dict[tuple[str, str], Rule | None] = {}

    def rule(self, provider: str, model: str) -> Rule | None:
        """The rule of a model. None: nobody wrote one down."""
        key = (provider, model)
        if key not in self._found:
            if len(self._found) >= LARGEST_CACHE:
                self._found.clear()
            self._found[key] = self._look_up(provider, model.lower())
        return self._found[key]

    def price_class(self, provider: str, asked: str | None) -> str:
        """The price class that a request's word stands for; the plain one for every other word."""
        for file in self._files.get(provider, ()):
            if asked in file.classes:
                return file.classes[asked]
        return STANDARD

    def listed(self) -> list[tuple[str, RuleText]]:
        """Every rule with its provider, in the order in which they are tried."""
        return [
            (name, rule) for name, files in self._files.items() for f in files for rule in f.rule
        ]

    def _look_up(self, provider: str, model: str) -> Rule | None:
        for file in self._files.get(provider, ()):
            for rule in file.rule:
                if any(fnmatchcase(model, pattern) for pattern in rule.match):
                    return rule
        return None


def load_rules(paths: Sequence[Path] = ()) -> Rules:
    """The rules that ship with Bursar, after those of `paths`. Raises BadPrices."""
    texts: list[RulesText] = []
    for path in [*paths, *sorted(OWN_RULES.glob("*.toml"))]:
        try:
            content = path.read_bytes()
        except OSError as gone:
            raise BadPrices(
                f"{path}: cannot be read ({gone.strerror})", mend="check the path"
            ) from gone
        texts.append(parse_rules(content, path))
    return Rules(texts)


def parse_rules(content: bytes, path: Path) -> RulesText:
    """The rules in `content`; `path` only names it in errors."""
    try:
        table = tomllib.loads(content.decode("utf-8"))
        text = msgspec.convert(table, RulesText)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise BadPrices(f"{path}: is no TOML ({bad})", mend="mend that place") from bad
    except msgspec.ValidationError as bad:
        raise BadPrices(f"{path}: {bad}", mend="price/rules/*.toml show the format") from bad
    for n, rule in enumerate(text.rule):
        _check(rule, f"{path}: rule[{n}]")
    return text


def _check(rule: RuleText, place: str) -> None:
    if not rule.match:
        raise BadPrices(f"{place}: fits no model", mend='give match = ["..."]')
    if rule.way is Way.NONE:
        return
    if not rule.lives or any(life <= 0 for life in rule.lives.values()):
        raise BadPrices(f"{place}.lives: needs a lifetime above 0", mend="lives = { 5m = 300 }")
    for name in ("minimum_tokens", "step_tokens", "most_marks", "lookback_blocks"):
        least = 0 if name == "minimum_tokens" else 1
        if getattr(rule, name) < least:
            raise BadPrices(f"{place}.{name}: is below {least}", mend=f"give {least} or more")
