"""When, and by which version of prune_kit, a file was written."""

from datetime import UTC, datetime


def now() -> str:
    """This moment, as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def version() -> str:
    """The version of prune_kit that is installed, or "unknown" in a bare source tree."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("prune_kit")
    except PackageNotFoundError:
        return "unknown"
