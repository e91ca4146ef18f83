"""The TOML file that says what is built and judged: sections, cross-checks, faults in words."""
