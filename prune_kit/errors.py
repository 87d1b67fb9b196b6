"""The errors that a user can fix. Each is one line: what was given, what is possible, what to do.

    PruneKitError            the root; the command line prints it and exits with code 2
    ├── DataError            a data set cannot be read, or is not as required
    │   └── BadFilesError    some of its files cannot be used; it lists them
    ├── IdentityError        two files belong to different data
    ├── FileError            a file or folder of prune_kit cannot be read or written
    ├── TableError           a score table lacks the column that was asked for
    ├── OptionError          a value is out of range, or a name is unknown
    │   └── CombinationError two options do not go together; a ValueError, too, as cleanlab raises
    ├── ModelError           a network cannot be built, or not for these images
    ├── RunError             a training failed, or lacks a recording that is asked for
    └── RecipeError          a recipe is contradictory or incomplete

Any other exception is a bug of prune_kit: a traceback, and exit code 1.

Messages name options as Python does. An option with its value is `keep=2`, `per_class=True`,
`rule='top'`, or `ratios=[75, 90]`. A field of the training configuration is `config.epochs=10`. An
option without a value stands in backticks, as in "requires `matrix`". The command line translates
these forms into its flags (`prune_kit_cli.wording`).
"""

MOST_TOLD = 3  # bad files in the one line of an error


class PruneKitError(Exception):
    """The root: catch it to catch every error that a user can fix."""


class DataError(PruneKitError):
    """A data set cannot be read, or is not as required."""


class BadFilesError(DataError):
    """Some files of a data set cannot be used.

    Attributes
    ----------
    bad : list of (str, str)
        The path of each such file, and the reason, which follows the path in a sentence.
    """

    def __init__(self, bad: list[tuple[str, str]], total: int) -> None:
        self.bad, self.total = bad, total
        told = "; ".join(f"{path} {why}" for path, why in bad[:MOST_TOLD])
        more = f"; and {len(bad) - MOST_TOLD:,} more" if len(bad) > MOST_TOLD else ""
        count = f"{len(bad):,} of {total:,} files cannot be used: " if len(bad) > 1 else ""
        them = "them" if len(bad) > 1 else "it"
        way_out = f". skip_bad=True goes on without {them}" if len(bad) < total else ""
        super().__init__(f"{count}{told}{more}{way_out}")

    def __reduce__(self) -> tuple[type["BadFilesError"], tuple[list[tuple[str, str]], int]]:
        return BadFilesError, (self.bad, self.total)


class IdentityError(PruneKitError):
    """Two files belong to different data."""


class FileError(PruneKitError):
    """A file or folder of prune_kit cannot be read or written."""


class TableError(PruneKitError):
    """A score table lacks the column that was asked for."""


class OptionError(PruneKitError):
    """A value is out of range, or a name is unknown."""


class CombinationError(OptionError, ValueError):
    """Two options do not go together.

    A ValueError, too: it is what cleanlab raises, in whose place `find_label_issues` stands.
    """


class ModelError(PruneKitError):
    """A network cannot be built, or not for these images."""


class RunError(PruneKitError):
    """A training failed, or lacks a recording that is asked for."""


class RecipeError(PruneKitError):
    """A recipe is contradictory or incomplete."""
