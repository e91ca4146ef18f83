"""Installed distributions as trees of symbols, templates, styles and scripts."""
