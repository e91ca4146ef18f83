"""SVG, and the templates that every page shares."""
