"""Whether the adapter survived: the ladder of variants, recovery, the smallest width that is safe."""
