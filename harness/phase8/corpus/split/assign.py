"""Fills the splits: exact sizes, nothing about one symbol in two of them, some phrasings for the test split alone."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

from phase8.core.errors import InvalidInput
from phase8.corpus.mining.example import Example
from phase8.corpus.near_duplicates import NEAR_DUPLICATE as NEAR
from phase8.corpus.near_duplicates import Index
from phase8.corpus.split.pruning import HELD_OUT, NEAR_DUPLICATE, SHARE, UNSEEN, Exclusion, exclude
from phase8.corpus.split.quotas import KINDS, NAMES, Kind, Quota
from phase8.corpus.split.topics import topics
from phase8.corpus.split.unseen_templates import seeded

_HELD_OUT = ("test", "valid")  # filled in this order, before train


class Divider:
    """Splits in the making. An example may join one whose topic and near-duplicates are in no other."""

    def __init__(
        self,
        examples: Sequence[Example],
        wanted: dict[str, Quota],
        unseen: frozenset[str],
        seed: int,
        unseen_share: float,
    ) -> None:
        self.examples, self.wanted, self.unseen, self.seed = examples, wanted, unseen, seed
        self.unseen_share = unseen_share
        self.splits: dict[str, list[Example]] = {name: [] for name in NAMES}
        self._topic = {e.id: topic for e, topic in zip(examples, topics(examples), strict=True)}
        self._first = {self._topic[e.id]: e.id for e in sorted(examples, key=lambda e: e.id, reverse=True)}
        self._owner: dict[int, str] = {}
        self._queries = {name: Index() for name in NAMES}
        self._written = {self._topic[e.id] for e in examples if e.preferred}
        self._chosen: set[str] = set()

    def fill(self) -> None:
        """Fill every split, the held-out ones first.

        Raises:
            InvalidInput: too few candidates that can be kept apart.
        """
        for name in (*_HELD_OUT, "train"):
            for kind in KINDS:
                left: int = getattr(self.wanted[name], kind)
                if name == "test":
                    left -= self._take(name, kind, int(left * self.unseen_share), self._is_unseen)
                left -= self._take_written(name, kind, left)
                if name != "train":
                    left -= self._take(
                        name, kind, left, lambda e, name=name: self._is_seen(e) and self._home(e) == name
                    )
                left -= self._take(name, kind, left, self._is_seen)
                if name == "test":
                    left -= self._take(name, kind, left, self._is_unseen)
        self._require()

    def left_out(self) -> Iterator[Exclusion]:
        """The candidates in no split, each with its reason."""
        for example in self.examples:
            if example.id in self._chosen:
                continue
            if example.provenance.phrasing in self.unseen:
                reason = UNSEEN
            elif self._owner.get(self._topic[example.id], "train") in _HELD_OUT:
                reason = HELD_OUT
            elif self._is_near(example, "train"):
                reason = NEAR_DUPLICATE
            else:
                reason = SHARE
            yield exclude(example, reason)

    def _is_unseen(self, example: Example) -> bool:
        return example.provenance.phrasing in self.unseen

    def _is_seen(self, example: Example) -> bool:
        return example.provenance.phrasing not in self.unseen

    def _queues(self, kind: Kind) -> list[list[Example]]:
        """The mined candidates of each phrasing: new topics first, and of these short rows."""
        mined = sorted((e for e in self.examples if e.kind == kind and not e.preferred), key=_length)
        turns: Counter[int] = Counter()
        by_phrasing: dict[str, list[tuple[int, Example]]] = defaultdict(list)
        for example in mined:
            topic = self._topic[example.id]
            by_phrasing[example.provenance.phrasing].append((turns[topic], example))
            turns[topic] += 1
        return [
            [example for _, example in sorted(by_phrasing[name], key=lambda turn: turn[0])]
            for name in sorted(by_phrasing, key=lambda name: seeded(self.seed, name))
        ]

    def _home(self, example: Example) -> str:
        """The split whose share of all topics an example's topic falls into."""
        drawn = int(seeded(self.seed, self._first[self._topic[example.id]])[:8], 16) / 16**8
        return "test" if drawn < 0.1 else "valid" if drawn < 0.2 else "train"

    def _take(self, name: str, kind: Kind, count: int, allowed: Callable[[Example], bool]) -> int:
        """Choose up to ``count`` mined candidates, one of each phrasing in turn; how many they were."""
        queues = deque(iter(queue) for queue in self._queues(kind))
        taken = 0
        while queues and taken < count:
            queue = queues.popleft()
            found = next((e for e in queue if allowed(e) and self._is_free(e, name)), None)
            if found:
                self._choose(found, name)
                taken += 1
                queues.append(queue)
        return taken

    def _is_free(self, example: Example, name: str) -> bool:
        """Whether a mined candidate may be chosen; unclaimed topics with hand-written examples are left to these."""
        topic = self._topic[example.id]
        reserved = name != "train" and topic in self._written and topic not in self._owner
        return example.id not in self._chosen and not reserved and self._may_join(example, name)

    def _take_written(self, name: str, kind: Kind, room: int) -> int:
        """Choose a fair part of the hand-written examples, whole topics in held-out splits; how many they were."""
        by_topic: dict[int, list[Example]] = defaultdict(list)
        for example in self.examples:
            if example.kind == kind and example.preferred:
                by_topic[self._topic[example.id]].append(example)
        written = sum(map(len, by_topic.values()))
        quota, total = getattr(self.wanted[name], kind), sum(getattr(q, kind) for q in self.wanted.values())
        limit = room if name == "train" else min(room, round(written * quota / max(1, total)))
        taken = 0
        for topic in sorted(by_topic, key=lambda topic: seeded(self.seed, by_topic[topic][0].id)):
            members = [e for e in by_topic[topic] if e.id not in self._chosen and self._may_join(e, name)]
            if name != "train" and (len(members) < len(by_topic[topic]) or len(members) > limit - taken):
                continue
            for example in members[: limit - taken]:
                self._choose(example, name)
                taken += 1
        return taken

    def _may_join(self, example: Example, name: str) -> bool:
        return self._owner.get(self._topic[example.id], name) == name and not self._is_near(example, name)

    def _is_near(self, example: Example, name: str) -> bool:
        """Whether a chosen query of another split is a near-duplicate."""
        return any(index.highest(example.query) >= NEAR for other, index in self._queries.items() if other != name)

    def _choose(self, example: Example, name: str) -> None:
        self._owner[self._topic[example.id]] = name
        self._queries[name].add(example.query)
        self._chosen.add(example.id)
        self.splits[name].append(example)

    def _require(self) -> None:
        missing = []
        for name in NAMES:
            found = Counter(example.kind for example in self.splits[name])
            short = {kind: getattr(self.wanted[name], kind) - found[kind] for kind in KINDS}
            missing += [f"{count} {kind} for {name}" for kind, count in short.items() if count]
        if missing:
            raise InvalidInput(
                f"corpus: too few topics to keep the splits apart: missing {', '.join(missing)}. Add distributions."
            )


def _length(example: Example) -> tuple[int, str]:
    """The characters of a conversation; its id where two are as long."""
    call = len(example.call.model_dump_json()) if example.call else 0
    return len(example.query) + call + len(example.result or "") + len(example.answer), example.id
