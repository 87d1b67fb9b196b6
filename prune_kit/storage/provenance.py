"""The time and the version of prune_kit, which every file states."""

from datetime import UTC, datetime


def now() -> str:
    """The time now as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def version() -> str:
    """The installed version of prune_kit; "unknown" in a source tree that is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("prune_kit")
    except PackageNotFoundError:
        return "unknown"
