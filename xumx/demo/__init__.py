"""xumx in a minute, and music to try it with."""
