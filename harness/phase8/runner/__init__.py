"""A run: plan, build, measure, judge, keep, show."""
