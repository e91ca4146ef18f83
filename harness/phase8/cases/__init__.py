"""Prompts with their labels, a model's text as a judged reply, and the jobs of measuring processes."""
