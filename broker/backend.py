"""What an engine has in memory, and the names of models."""

from collections.abc import Iterable

from broker import facts


class Backend:
    """An engine that one or more workers use, and what it has loaded, as far as we know.

    ``options`` are those of a runner: with which the model was loaded, '' for none in particular.
    """

    def __init__(self) -> None:
        self.loaded: dict[str, str] = {}  # the options of each model that is in memory, the last used one at the end
        self._together = 1  # so many models were seen in memory at the same time

    def runs(self, model: str, options: str, busy: Iterable[str]) -> None:
        """It is given a job. What it loads for that takes the place of others, as far as we know."""
        name = canonical(model)
        if self.loaded.pop(name, None) != options:
            keep = {canonical(other) for other in busy}
            for other in [other for other in self.loaded if other not in keep]:
                if len(self.loaded) >= self._together:
                    del self.loaded[other]
        self.loaded[name] = options

    def tells(self, models: Iterable[facts.ModelInfo], busy: Iterable[str]) -> None:
        """A worker says what is in memory; what it is just loading may not be there yet."""
        keep = {canonical(other) for other in busy}
        resident = {canonical(model.name) for model in models if model.resident}
        self._together = max(self._together, len(resident))
        self.loaded = {name: held for name, held in self.loaded.items() if name in resident or name in keep}
        for name in resident:
            self.loaded.setdefault(name, '')

    def copy(self) -> 'Backend':
        """The same, to try something out."""
        other = Backend()
        other.loaded, other._together = dict(self.loaded), self._together
        return other

    def has(self, model: str, options: str) -> bool:
        """Whether a job with this runner would start without loading."""
        return self.loaded.get(canonical(model)) == options


def model_names(models: Iterable[facts.ModelInfo]) -> frozenset[str]:
    """The names by which jobs may ask for these models: Ollama takes ``qwen3`` for ``qwen3:latest``."""
    names = {model.name for model in models}
    return frozenset(names | {name.removesuffix(':latest') for name in names})


def canonical(model: str) -> str:
    """The one name of a model that has two."""
    return model if ':' in model.rpartition('/')[2] else f'{model}:latest'  # a registry's port is no tag
