"""What is asked of a scoring, checked before any data is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prune_kit import registry
from prune_kit.checks import check_seeds
from prune_kit.data.noise import check_probes
from prune_kit.protocol.setup import OBSERVATIONS
from prune_kit.scoring.columns import check_use, method_names


@dataclass(frozen=True, kw_only=True)
class AskedScores:
    """What is asked for: methods, epochs, and what the networks are to be. None is left open.

    Parameters
    ----------
    methods : the names of scores.
    epochs : the finished epochs after which they are taken.
    runs : how many networks are averaged over.
    seed : the first network's.
    observe : where cumulative scores come from, "minibatches" or "sweep".
    probes : the share of the training rows to plant under wrong labels.
    options : the methods' own, such as `folds` of cscore.
    """

    methods: tuple[str, ...]
    epochs: tuple[int, ...] | None = None
    runs: int | None = None
    seed: int | None = None
    observe: str | None = None
    probes: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        methods: str | Sequence[str],
        *,
        epoch: int | Sequence[int] | None = None,
        runs: int | None = None,
        seed: int | None = None,
        observe: str | None = None,
        probes: float | None = None,
        **options: Any,
    ) -> "AskedScores":
        """From a user's words.

        Parameters
        ----------
        methods : the names of scores. A text may hold several, with commas between.
        epoch : one finished epoch or several; None leaves them open.
        runs, seed, observe, probes : as of the class; None leaves them open.
        options : the methods' own. One that is None counts as not given.

        Raises
        ------
        OptionError
            for what does not exist, is out of range or does not fit together.
        """
        check_seeds(1 if runs is None else runs, seed)
        if observe is not None and observe not in OBSERVATIONS:
            raise registry.unknown_name_error("observation", observe, OBSERVATIONS)
        if probes:  # none is a share, too, of which the table says whether it fits
            check_probes(probes)
        names = method_names(methods)
        given = {name: value for name, value in options.items() if value is not None}
        check_use(
            names,
            given,
            epoch=epoch is not None,
            runs=runs is not None,
            probes=probes is not None,
        )
        epochs = [epoch] if isinstance(epoch, int) else epoch
        return cls(
            methods=tuple(names),
            epochs=None if epochs is None else tuple(epochs),
            runs=runs,
            seed=seed,
            observe=observe,
            probes=probes,
            options=given,
        )
