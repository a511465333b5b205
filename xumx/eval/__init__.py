"""Scores of separation: BSS Eval v4 by museval, ceilings and floors, tables and pictures."""
