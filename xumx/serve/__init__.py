"""The web application: songs in by a browser or by HTTP, stems out."""
