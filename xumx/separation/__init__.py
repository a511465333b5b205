"""Songs to stems: the separator, and files in and out."""
