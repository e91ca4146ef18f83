"""Proofs about a built corpus: no leakage, no false claim, every stored result found again."""
