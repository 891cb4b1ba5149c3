# SPDX-License-Identifier: LGPL-2.1-or-later
"""The comparisons that expectations and asserts share."""

import re

from .jsonpath import ABSENT


def _one(value, operator: str, wanted) -> bool:
    if operator == "exists":
        return (value is not ABSENT) == wanted
    if value is ABSENT:
        return False
    if operator == "equals":
        return value == wanted
    if operator == "not_equals":
        return value != wanted
    if operator == "in":
        return value in wanted
    if operator == "contains":
        return wanted in value if isinstance(value, (list, str, dict)) else False
    if operator == "count":
        return isinstance(value, (list, dict)) and len(value) == wanted
    if operator == "matches":
        return re.search(wanted, value if isinstance(value, str) else str(value)) is not None
    number = _number(value)
    if number is None:
        return False
    return number >= wanted if operator == "min" else number <= wanted


def _number(value):
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def holds(value, operators: dict) -> bool:
    return all(_one(value, operator, wanted) for operator, wanted in operators.items())


def show(value, limit: int = 400) -> str:
    """A value as people want to see it in an error."""
    if value is ABSENT:
        return "nothing at this path"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit] + f"… ({len(text)} characters)"


def show_operators(operators: dict) -> str:
    return ", ".join(f"{key} {value!r}" for key, value in operators.items())
