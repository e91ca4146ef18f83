"""A variant on items of the Berkeley Function-Calling Leaderboard."""
