"""What everything rests on: errors, values, files, safe text, progress, the machine, hashes, the store."""
