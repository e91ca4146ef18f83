"""What the files of a run hold: values without judgement, read and written strictly."""
