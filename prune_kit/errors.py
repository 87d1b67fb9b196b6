"""Everything that can go wrong and that the user can mend.

    PruneKitError            exit code 2: one line that says what was given, what there is, what to do
    ├── DataError            a data set cannot be read, or is not what it should be
    ├── IdentityError        two files speak of different data
    ├── FileError            one of our files (or its folder) cannot be read or written
    ├── TableError           a score table lacks the column that was asked for
    ├── OptionError          a value is out of range, or a name is unknown
    ├── ModelError           a network cannot be built, or not for these images
    ├── RunError             a training failed, or did not record what is asked of it
    └── RecipeError          a recipe says something that it cannot mean

Whatever else is raised is a bug of ours: a traceback, exit code 1.
"""


class PruneKitError(Exception):
    """The root: catch this one to catch all that a user can mend."""


class DataError(PruneKitError):
    """A data set cannot be read, or is not what it should be."""


class IdentityError(PruneKitError):
    """Two files speak of different data."""


class FileError(PruneKitError):
    """A file or folder of ours cannot be read or written."""


class TableError(PruneKitError):
    """A score table lacks the column that was asked for."""


class OptionError(PruneKitError):
    """A value is out of range, or a name is unknown."""


class ModelError(PruneKitError):
    """A network cannot be built, or not for these images."""


class RunError(PruneKitError):
    """A training failed, or did not record what is asked of it."""


class RecipeError(PruneKitError):
    """A recipe says something that it cannot mean."""
