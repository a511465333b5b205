"""What everything else stands on: errors, files, lines on the terminal, cores and pools."""
