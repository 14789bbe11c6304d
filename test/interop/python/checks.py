"""Runs named checks and prints one JSON line for each: {"check", "ok", "error"}. The test suite beside it reads them.

Each check gets a fresh try; one that fails does not stop the others.
"""

import json
import sys
import traceback

CHECKS = []


def check(name):
    """Registers a function as a check."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def run(*arguments):
    for name, function in CHECKS:
        try:
            function(*arguments)
            outcome = {"check": name, "ok": True}
        except Exception:  # noqa: BLE001: whatever it is, it is the check's outcome
            outcome = {"check": name, "ok": False, "error": traceback.format_exc(limit=-4)}
        print(json.dumps(outcome), flush=True)
    sys.exit(0)


def equal(actual, expected, what="value"):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r}, expected {expected!r}")


def holds(condition, what):
    if not condition:
        raise AssertionError(what)
