"""What a run came to, for terminal, Markdown, HTML and CI."""
