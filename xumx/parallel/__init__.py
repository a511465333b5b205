"""The processes of a job: they begin together, share work and cores, and end together."""
