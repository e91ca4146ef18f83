"""A profile's steps up to its adapter: pool, tokenizer, corpus, base, probe, training."""

from functools import cached_property
from importlib import metadata
from pathlib import Path

from phase8.cases.cases import read_tools
from phase8.chat.formats import Tools
from phase8.core.artefact import Step
from phase8.core.blas import SMALL
from phase8.core.errors import InvalidInput
from phase8.core.machine import numeric_environment
from phase8.core.store import Store, free_gb_needed
from phase8.corpus.stage import build_corpus, build_pool, corpus_inputs, pool_inputs
from phase8.profile.loading import Located
from phase8.profile.profile import Profile
from phase8.profile.sections import GgufBase, MinedCorpus, PocketBase
from phase8.stages.external import External, external_folder

Source = Step | External


class TrainingSteps:
    """What is built before anything is fused, each found in the store or built there."""

    def __init__(self, located: Located, store: Store) -> None:
        self.located = located
        self.store = store

    @property
    def profile(self) -> Profile:
        """The profile."""
        return self.located.profile

    @cached_property
    def tools(self) -> Tools:
        """The tool schemas the models are told of."""
        return read_tools(self.located)

    def path(self, source: Source) -> Path:
        """Where a source is, building it first if need be."""
        return source.path() if isinstance(source, External) else self.store.ensure(source)

    @cached_property
    def pool(self) -> Step:
        """Candidate examples mined from the installed distributions."""
        corpus = self.profile.corpus
        assert isinstance(corpus, MinedCorpus)
        return Step("pool", 2, pool_inputs(self.located), lambda out: build_pool(self.located, out))

    @cached_property
    def tokenizer(self) -> Source:
        """The folder with the tokenizer: the base's own, or one trained on the pool."""
        base = self.profile.base
        if not isinstance(base, PocketBase):
            return self.base

        def make(out: Path) -> None:
            from phase8.corpus.stage import call_marks, pool_texts
            from phase8.engine.train.pocket import train_tokenizer

            pool = self.path(self.pool)
            marks = call_marks(pool, self.profile.prompting.format)
            train_tokenizer(pool_texts(self.located, pool), base.vocabulary, out, marks)

        inputs = {
            "vocabulary": base.vocabulary,
            "pool": self.pool.key,
            "format": self.profile.prompting.format,
            "tokenizers": metadata.version("tokenizers"),
        }
        return Step("tokenizer", 2, inputs, make)

    @cached_property
    def base(self) -> Source:
        """The model that training starts from."""
        base = self.profile.base
        if base is None:
            raise InvalidInput(f"{self.located.path}: [base] is missing")
        if isinstance(base, GgufBase):
            return self._gguf_base(base)
        if isinstance(base, PocketBase):
            return self._pocket_base(base)
        return external_folder(self.located, base.model, self.store.hashes)

    def _gguf_base(self, base: GgufBase) -> Step:
        def make(out: Path) -> None:
            from phase8.engine.load.gguf import convert_wheel

            convert_wheel(base.distribution, out)

        try:
            version = metadata.version(base.distribution)
        except metadata.PackageNotFoundError:
            version = "not installed"
        inputs = {"distribution": base.distribution, "version": version, "mlx": metadata.version("mlx")}
        return Step("base", 1, inputs, make, disk_gb=free_gb_needed(base.parameters, 6.0))

    def _pocket_base(self, base: PocketBase) -> Step:
        def make(out: Path) -> None:
            from phase8.corpus.stage import base_rows
            from phase8.engine.train.pocket import train_base

            tokenizer, corpus = self.path(self.tokenizer), self.path(self.corpus)
            train_base(base, tokenizer, base_rows(self.located, corpus, tokenizer), out)

        inputs = {
            "base": base.model_dump(mode="json"),
            "tokenizer": self.tokenizer.key,
            "corpus": self.corpus.key,
            "environment": self._training_environment(),
        }
        return Step("base", 13, inputs, make, disk_gb=0.1)

    @cached_property
    def corpus(self) -> Step:
        """Training, validation and held-out rows."""
        if self.profile.corpus is None:
            raise InvalidInput(f"{self.located.path}: [corpus] is missing, so there is nothing to train on")
        mined = isinstance(self.profile.corpus, MinedCorpus)
        upstream = {"pool": self.pool.key, "tokenizer": self.tokenizer.key} if mined else {}
        inputs = corpus_inputs(self.located, self.tools) | upstream

        def make(out: Path) -> None:
            folders = (self.path(self.pool), self.path(self.tokenizer)) if mined else None
            build_corpus(self.located, self.tools, folders, out)

        return Step("corpus", 3 if mined else 4, inputs, make)  # own files: held-out queries are compared by more

    @cached_property
    def probe(self) -> Step:
        """The rung of the ladder that training fits on."""
        training = self.profile.training
        assert training is not None

        def make(out: Path) -> None:
            from phase8.engine.load.rows import read_split
            from phase8.engine.train.trainability import probe

            base, prompting = self.path(self.base), self.profile.prompting
            probe(base, training, read_split(base, self.path(self.corpus) / "train.jsonl", prompting), out)

        return Step("probe", 2, self._training_inputs(), make)

    @cached_property
    def adapter(self) -> Source:
        """The LoRA adapter, trained here or brought along."""
        training = self.profile.training
        if self.profile.adapter:
            return external_folder(self.located, self.profile.adapter.path, self.store.hashes)
        assert training is not None

        def make(out: Path) -> None:
            from phase8.engine.load.rows import read_split
            from phase8.engine.train.lora import train_adapter
            from phase8.quant.memory_fallbacks import Rung

            rung = Rung.model_validate_json((self.path(self.probe) / "rung.json").read_text())
            base, corpus, prompting = self.path(self.base), self.path(self.corpus), self.profile.prompting
            rows, valid = (read_split(base, corpus / f"{split}.jsonl", prompting) for split in ("train", "valid"))
            train_adapter(base, training, rung, rows, valid, out)

        return Step("adapter", 6, self._training_inputs() | {"probe": self.probe.key}, make, resumable=True)

    def _training_inputs(self) -> dict:
        assert self.profile.training is not None
        return {
            "training": self.profile.training.model_dump(mode="json"),
            "stop_sequences": list(self.profile.prompting.stop_sequences),
            "base": self.base.key,
            "corpus": self.corpus.key,
            "environment": self._training_environment(),
        }

    def _training_environment(self) -> dict[str, str]:
        """A model that is small beyond doubt trains on one thread, however many the run has."""
        parameters = getattr(self.profile.base, "parameters", None)
        small = parameters is not None and parameters < SMALL / 2
        return numeric_environment(one_thread=small) | ({"batches": "in halves"} if small else {})
